"""Kinds of image files that need more than Pillow, and the names of those that are no images."""
