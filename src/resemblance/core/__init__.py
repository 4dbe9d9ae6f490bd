"""The contract of all models, and the parts that every method shares."""
