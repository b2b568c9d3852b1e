"""Pixels in: hub datasets, local folders, images, arrays and the built-in handwriting."""
