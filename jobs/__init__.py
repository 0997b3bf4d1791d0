"""The commands: options in, exit code out. Joins batch and model."""
