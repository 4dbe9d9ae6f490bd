"""Compare a score with another one, so that contributions add up to the difference."""
