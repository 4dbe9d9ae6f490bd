"""Images as what a frozen encoder computed for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from resemblance.data.batch import EncodedBatch
from resemblance.data.dataset import Key
from resemblance.data.stopping import stop_if_requested
from resemblance.training.cached.latent_file import Array

Indices = NDArray[np.int64]
# NumPy lacks some types; the bits are kept.
STORED_AS = {
    torch.float32: "float32",
    torch.float64: "float64",
    torch.bfloat16: "int16",
    torch.float16: "int16",
}


def to_array(tensor: torch.Tensor) -> Array:
    """Convert a tensor to an array of the type in which it is kept."""
    tensor = tensor.detach().cpu().contiguous()
    array: Array = (tensor.view(torch.int16) if STORED_AS[tensor.dtype] == "int16" else tensor).numpy()
    return array


class EncodedImages(Dataset[EncodedBatch]):
    """The results of `Classifier.encode` for a set of images, by index or (epoch, index).

    Args:
        views: one list per view of the images, of arrays that together have a row per image; an epoch reads one view,
            one after the other.
        labels: (N,) int64.
        dtype: the type of the results.

    Example:
        >>> images = EncodedImages([[np.zeros((2, 3), np.float32)]], np.array([0, 1]), torch.float32)
        >>> images.__getitems__([1, 0]).labels, len(images.batches(1))
        (tensor([1, 0]), 2)
    """

    def __init__(self, views: Sequence[Sequence[Array]], labels: Indices, dtype: torch.dtype) -> None:
        self.views, self.labels, self.dtype = views, labels, dtype

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> EncodedBatch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> EncodedBatch:
        """Return what was computed for the images at ``keys``; PyTorch's loaders call this."""
        pairs = [key if isinstance(key, tuple) else (0, int(key)) for key in keys]
        indices = np.array([index for _, index in pairs], dtype=np.int64)
        view = np.array([epoch % len(self.views) for epoch, _ in pairs])
        first = self.views[0][0]
        rows = np.empty((len(pairs), *first.shape[1:]), first.dtype)
        for number, parts in enumerate(self.views):
            start = 0
            for part in parts:
                wanted = (view == number) & (indices >= start) & (indices < start + len(part))
                rows[wanted] = part[indices[wanted] - start]
                start += len(part)
        encoded = torch.from_numpy(rows)
        encoded = encoded.view(self.dtype) if rows.dtype == np.int16 else encoded
        return EncodedBatch(encoded, torch.from_numpy(self.labels[indices]), torch.from_numpy(indices))

    def at(self, indices: Sequence[int]) -> torch.Tensor:
        """Return what was computed for the images at ``indices``."""
        return self.__getitems__(indices).encoded

    def batches(self, size: int, indices: Indices | None = None) -> EncodedBatches:
        """Return all images in order, or those at ``indices``, in batches of that size, read as they are needed."""
        return EncodedBatches(self, size, np.arange(len(self)) if indices is None else indices)


class EncodedBatches:
    """Images of a set, batch by batch, as often as they are iterated over.

    Args:
        images: the set.
        size: images per batch.
        indices: (n,) the images, in order.
    """

    def __init__(self, images: EncodedImages, size: int, indices: Indices) -> None:
        self.images, self.size, self.indices = images, size, indices

    def __len__(self) -> int:
        return -(-len(self.indices) // self.size)

    def __iter__(self) -> Iterator[EncodedBatch]:
        for start in range(0, len(self.indices), self.size):
            stop_if_requested()
            yield self.images.__getitems__(self.indices[start : start + self.size].tolist())
