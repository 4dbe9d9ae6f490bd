"""What a reader needs first: sentences about a model, or about several."""
