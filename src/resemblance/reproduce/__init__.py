"""Repeat the experiments of the papers: files of experiments, their runs, and the tables of paper against ours."""
