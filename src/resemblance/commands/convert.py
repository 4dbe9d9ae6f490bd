"""``resemblance convert MODEL``: a trained classifier that gives its reasons."""
