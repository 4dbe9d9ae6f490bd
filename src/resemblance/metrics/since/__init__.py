"""Measures published after the paper, each with its trivial baselines and an interval."""
