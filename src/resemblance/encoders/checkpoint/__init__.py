"""Weights files as other people's training scripts write them."""
