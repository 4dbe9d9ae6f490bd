"""Tables that name the classes, splits and groups of image files."""
