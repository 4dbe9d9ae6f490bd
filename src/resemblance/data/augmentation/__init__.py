"""Augmentations of training images: one file for each, and the warp that most of them use."""
