"""The lowest floor: typed dataclasses, without torch, that configure commands and methods."""
