"""Training by recipes, and the end actions of stages: projection, pruning, clustering, counting usage."""
