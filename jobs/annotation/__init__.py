"""The annotation job, from the walk to the published tables."""
