"""One published method a file: architecture, loss and recipe."""
