"""How familiar an image is to the model: the similarity that decides, beside those of images that it knows."""
