"""The tables in the forms that photo managers, labelling tools and training sets read."""
