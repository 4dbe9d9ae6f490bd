"""`Batch` and `EncodedBatch`, the items of loaders."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Images (B, C, H, W) in [0, 1], labels (B,) int64, indices (B,) int64 of the images in their source."""

    images: Tensor
    labels: Tensor
    indices: Tensor


class EncodedBatch(NamedTuple):
    """What `Classifier.encode` returned for images: encoded (B, ...), labels (B,) int64, indices (B,) int64."""

    encoded: Tensor
    labels: Tensor
    indices: Tensor
