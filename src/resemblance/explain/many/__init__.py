"""Explanations of many images: their list, their table, and their counts."""
