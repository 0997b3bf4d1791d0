"""Labels that people have put right, as training data: from the forms of labelling tools to a table of boxes."""

FILES_HELP = "Or corrections: a JSON export of Label Studio, a COCO file, or a CSV of root, path, face and label."
ANNOTATIONS_HELP = "The output of annotate whose faces the corrections number, or whose photographs they name."
