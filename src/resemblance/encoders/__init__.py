"""The encoders: timm, torchvision, the user's own module, and a small CNN, one a file."""
