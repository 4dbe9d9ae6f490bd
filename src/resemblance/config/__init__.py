"""The ground floor: typed, torch-free dataclasses that commands and methods are configured by."""
