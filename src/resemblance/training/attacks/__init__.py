"""Perturbations of images as pure functions: attacks by gradients, and noise."""
