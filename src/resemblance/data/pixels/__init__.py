"""Pixels of images as models read them, kept from one pass to the next."""
