"""The face detectors, one a file."""
