"""Figures and one self-contained page: what models say, made visible."""
