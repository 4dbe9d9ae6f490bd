"""The contract and the parts that every method is made of."""
