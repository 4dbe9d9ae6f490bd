"""The lowest layer: typed dataclasses, without torch, that configure commands and methods."""
