"""Encoders: timm, torchvision, the user's own module, and a small CNN, one per file."""
