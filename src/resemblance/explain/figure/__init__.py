"""The figure of one explanation: the image, its reasons, and the sum of their contributions."""
