"""Labels that people have put right, as training data: from the forms of labelling tools to a table of boxes."""
