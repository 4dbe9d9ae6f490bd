"""Training by recipes, and what ends a stage: projection, pruning, clustering, the survey."""
