"""Relevance maps: which pixels speak for a prototype, or for a class, and how far such a map can be trusted."""
