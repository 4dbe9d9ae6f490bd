"""Networks as other people write them."""
