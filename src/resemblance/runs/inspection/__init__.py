"""Describe a run folder or a model folder without building the model."""
