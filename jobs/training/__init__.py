"""The trainings that start from photographs with known faces: verifier, glance, detector."""
