"""How good a network is: predictions, figures, pictures."""
