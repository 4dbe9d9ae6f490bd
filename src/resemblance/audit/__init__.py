"""Stress tests: attacks, shifts and integrity checks that show whether explanations can be trusted."""
