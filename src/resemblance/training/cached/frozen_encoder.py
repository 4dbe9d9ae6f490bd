"""A model's encoder while it does not change: what it computes for an image is computed once and kept."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.data.augment import get_augment
from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import ArraySource, Source
from resemblance.encoders.base import Encoder
from resemblance.training.cached.encoded_images import STORED_AS, EncodedImages, to_array
from resemblance.training.cached.latent_cache import LatentCache
from resemblance.training.cached.latent_file import Array
from resemblance.training.cached.temporary_latents import TemporaryLatents
from resemblance.training.devices.pool import map_over_devices
from resemblance.training.ends.passes import evaluating

# In a batch, about. On a CPU the maps of more images do not fit into its caches, and take 1.3 times as long.
PIXELS_ON_CPU, PIXELS = 1 << 18, 1 << 22
Latents = LatentCache | TemporaryLatents


def bytes_per_image(model: Classifier) -> int:
    """Return the bytes that the result of `Classifier.encode` for an image needs on the disk."""
    image = model.spec.image
    with evaluating(model):
        output = model.encode(torch.zeros(1, image.channels, *image.size, device=model.device))
    return output.numel() * np.dtype(STORED_AS[output.dtype]).itemsize


def weights_of(model: Classifier) -> str:
    """Return a hash of all parameters and buffers of a model's encoder, without its classifier.

    Whatever changed them, it is another one: a flag can be forgotten, and ``tensor.data`` circumvents PyTorch's
    counters of versions. It takes 30 ms for a ResNet-18.
    """
    encoder = model.get_submodule("encoder")
    assert isinstance(encoder, Encoder)
    digest = hashlib.sha256()
    for name, tensor in (*encoder.named_parameters(), *encoder.named_buffers()):
        if not name.startswith("classifier."):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


class FrozenEncoder:
    """Computes `Classifier.encode` of images in evaluation mode, once, and keeps it.

    Latents are found again by all that they depend on: the encoder's tensors, its output for two test images (which
    changes with its code, its layers and the hardware), the images, and what their preparation and augmentation make of
    another test image (which changes with their code and Pillow's).

    Args:
        model: with the property ``encodes``; its encoder must not change while this object is used.
        latents: where they are kept.
        context: returns a context that is entered while the encoder runs, for autocast.
        workers: processes that read images.
        progress: whether to show progress.
    """

    def __init__(
        self,
        model: Classifier,
        latents: Latents,
        context: Callable[[], AbstractContextManager[None]] = nullcontext,
        workers: int = 0,
        progress: bool = False,
    ) -> None:
        self.model, self.context, self.workers, self.progress = model, context, workers, progress
        self.latents = latents
        image = model.spec.image
        pixels = np.random.default_rng(0).random((2, image.channels, *image.size), np.float32)
        test = Batch(torch.from_numpy(pixels), torch.zeros(2), torch.zeros(2))
        output = _encode(model, context, test)
        self.shape, self.dtype = tuple(output.shape[1:]), output.dtype
        digest = hashlib.sha256(json.dumps([str(output.dtype), self.shape, image.to_dict()]).encode())
        digest.update(to_array(output).tobytes())
        digest.update(weights_of(model).encode())
        self._digest = digest

    def encode(self, source: Source, augment: str = "none", views: int = 1, seed: int = 0) -> EncodedImages:
        """Return the latents of all images, from the cache or computed now.

        Args:
            source: the images.
            augment: the name of an augmentation.
            views: how many augmented views of each image.
            seed: of the augmentation.
        """
        parts = _parts(source)
        arrays = [[self._array(part, augment, view, seed) for part in parts] for view in range(views)]
        return EncodedImages(arrays, source.labels, self.dtype)

    @property
    def bytes_per_image(self) -> int:
        """The bytes that the result for an image needs."""
        return math.prod(self.shape) * np.dtype(STORED_AS[self.dtype]).itemsize

    def has(self, source: Source) -> bool:
        """Check whether the latents of all images, without augmentation, are there already."""
        return all(self._key(part, "none", 0, 0) in self.latents for part in _parts(source))

    def _array(self, source: Source, augment: str, view: int, seed: int) -> Array:
        images = ImageDataset(source, self.model.spec.image, get_augment(augment), seed)
        title = "computing latents" if augment == "none" else f"computing latents of view {view + 1}"

        def compute() -> Iterator[Array]:
            order = [(view, index) for index in range(len(source))]
            batches = loader(images, self._size, self.workers, sampler=order)
            encode = partial(_encode, self.model, self.context)
            yield from map(to_array, map_over_devices(encode, batches, title, self.progress))

        shape = (len(source), *self.shape)
        key = self._key(source, augment, view, seed)
        return self.latents.array(key, shape, STORED_AS[self.dtype], compute)

    def _key(self, source: Source, augment: str, view: int, seed: int) -> str:
        key = self._digest.copy()
        key.update(self._test_image(augment, view, seed))
        if augment != "none":
            key.update(f"{augment} {seed} {view}".encode())
        if source.array is not None:
            key.update(str(source.array.shape).encode())
            key.update(np.ascontiguousarray(source.array).data)
        else:
            for index in range(len(source)):
                key.update(source.stamp(index).encode(errors="backslashreplace") + b"\n")
        return key.hexdigest()[:40]

    def _test_image(self, augment: str, view: int, seed: int) -> bytes:
        """Return the values of a picture that has to be scaled and perhaps cut, as the encoder would read it."""
        image = self.model.spec.image
        shape = 1, 2 * image.height + 1, 3 * image.width, image.channels
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        images = ImageDataset(ArraySource(pixels, [0], ["test"]), image, get_augment(augment), seed)
        return images[view, 0].images.numpy().tobytes()

    @property
    def _size(self) -> int:
        """Images at a time, always: the last bit of a result can depend on the size of the batch."""
        if self.latents.batch is not None:
            return self.latents.batch
        image = self.model.spec.image
        pixels = PIXELS_ON_CPU if self.model.device.type == "cpu" else PIXELS
        return min(max(pixels // (image.height * image.width), 32), 512)


def _encode(model: Classifier, context: Callable[[], AbstractContextManager[None]], batch: Batch) -> Tensor:
    with evaluating(model), context():
        return model.encode(batch.images.to(model.device))


def _parts(source: Source) -> list[Source]:
    """Return the parts of a source whose latents are found on their own."""
    parts = [source.first, source.second] if isinstance(source, Joined) else [source]
    return [part for part in parts if len(part)]
