"""The face detector of our own, and its training."""
