"""The emotion CNN and its training."""
