"""Images from folders, archives and arrays, as models read them."""

from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.data.images import read_image
from resemblance.data.loader import loader
from resemblance.data.open import open_data
from resemblance.data.sources.source import ArraySource, DataSplits, Source, Subset
from resemblance.data.spec import infer_image_spec
from resemblance.data.transforms import to_tensor

__all__ = [
    "ArraySource",
    "Batch",
    "DataSplits",
    "ImageDataset",
    "Source",
    "Subset",
    "infer_image_spec",
    "loader",
    "open_data",
    "read_image",
    "to_tensor",
]
