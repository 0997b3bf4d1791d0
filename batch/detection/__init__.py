"""Faces in a gray image: detectors, their boxes, what becomes of proposals, and the crops that networks see."""
