"""The output: tables, checkpoints and their merging, so that a reader never meets half of anything."""
