"""Annotated regions of images: masks, boxes and points, read from files and laid over what the model reads."""

from resemblance.data.regions.open_regions import open_regions
from resemblance.data.regions.reader import RegionReader
from resemblance.data.regions.regions import Regions

__all__ = ["RegionReader", "Regions", "open_regions"]
