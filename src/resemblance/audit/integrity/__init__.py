"""Checks of integrity: where prototypes come from, what else could take their place, how far answers hold."""
