"""Pictures beside the tables, for a person to look at: each face, and each photograph with its boxes."""
