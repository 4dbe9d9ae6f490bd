"""Sweeps: a training or a conversion for each combination of some options, with a table and a plot."""
