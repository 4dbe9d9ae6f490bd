"""What is computed once while it does not change: latents behind a frozen encoder, outputs behind frozen prototypes."""
