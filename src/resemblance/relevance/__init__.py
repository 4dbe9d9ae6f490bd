"""Relevance: which pixels of an image a similarity or a score depends on."""
