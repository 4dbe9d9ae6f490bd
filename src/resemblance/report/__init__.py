"""Figures and self-contained HTML pages about models and their explanations."""
