"""The subject of an evaluation: a model, the images it is measured on, and what it is compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.relevance import Definition
from resemblance.core.classifier import Classifier
from resemblance.data.dataset import ImageDataset
from resemblance.data.regions import RegionReader
from resemblance.data.sources.source import Source, Subset
from resemblance.metrics.suite.model_subject import ModelSubject
from resemblance.relevance.maps import class_maps, prototype_maps
from resemblance.relevance.similarity import default_kind


@dataclass(frozen=True)
class Settings:
    """The settings on which the numbers depend.

    Args:
        maps: the kind of relevance maps; ``similarity`` where the model has such maps, else SmoothGrad.
        definition: the definition of the measures: ``default``, ``paper`` or ``released``.
        seed: the seed of all draws.
        steps: the number of points on the curves of relevance ordering.
        batch_size: images per batch.
    """

    maps: str = "similarity"
    definition: Definition = "default"
    seed: int = 0
    steps: int = 101
    batch_size: int = 128


@dataclass(frozen=True)
class Attributes:
    """Binary attributes of the training images.

    Args:
        names: of the attributes.
        values: (N, A) bool.
    """

    names: tuple[str, ...]
    values: NDArray[np.bool_]


@dataclass
class Subject(ModelSubject):
    """A model and all that its measures read.

    Args:
        name: the name of its run.
        model: in evaluation mode.
        images: the images that are measured.
        settings: the settings.
        train: the training images, un-augmented; None if they are not available.
        black_box: the black box to compare with; None if there is none.
        data: the name of the data and the split.
        regions: object parts, boxes or masks of the images of the split; None if there are none.
        attributes: binary attributes of the training images; None if there are none.
        order: (N,) the number of each measured image in the split; by default their order.
    """

    name: str
    model: Classifier
    images: Source
    settings: Settings = field(default_factory=Settings)
    train: Source | None = None
    black_box: Classifier | None = None
    data: str = ""
    regions: RegionReader | None = None
    attributes: Attributes | None = None
    order: NDArray[np.int64] | None = None

    @cached_property
    def data_indices(self) -> Tensor:
        """The numbers of the measured images in the split, (N,) int64."""
        return torch.arange(len(self.images)) if self.order is None else torch.from_numpy(self.order.copy())

    @property
    def kind(self) -> str:
        """The kind of the model's maps: SmoothGrad where it has no similarity maps."""
        asked = self.settings.maps
        return default_kind(self.model) if asked == "similarity" else asked

    @property
    def class_kind(self) -> str:
        """The kind of the maps of classes, which have no similarity maps: SmoothGrad instead."""
        asked = self.settings.maps
        return "smoothgrad" if asked == "similarity" else asked

    @cached_property
    def map_problem(self) -> str | None:
        """Why the maps that were asked for cannot be made; None if they can."""
        if self.explains is None:
            return self.class_map_problem
        first, which = self._first_image(self.model), torch.zeros(1, dtype=torch.int64)
        settings = self.settings
        return _problem(
            partial(prototype_maps, self.explains, first, which, self.kind, definition=settings.definition)
        )

    @cached_property
    def class_map_problem(self) -> str | None:
        """Why maps of classes cannot be made by the model or the black box; None if they can."""
        kind = self.class_kind
        for model in (self.model, self.black_box):
            if model is not None:
                first, classes = self._first_image(model), torch.zeros(1, dtype=torch.int64)
                definition = self.settings.definition
                problem = _problem(partial(class_maps, model, first, classes, kind, definition=definition))
                if problem is not None:
                    return problem
        return None

    def _first_image(self, model: Classifier) -> Tensor:
        images = ImageDataset(self.images, model.spec.image).__getitems__([0]).images
        return images.to(model.device)

    def key(self, measures: tuple[str, ...]) -> str:
        """Return a checksum of all that the results depend on: weights, images, settings and measures."""
        content = {
            "model": checksum(self.model),
            "black box": None if self.black_box is None else checksum(self.black_box),
            "data": self.data,
            "images": _digest(self.data_indices.numpy(), self.images.labels),
            "train": None if self.train is None else _digest(self.train.labels),
            "settings": asdict(self.settings),
            "regions": None if self.regions is None else [self.regions.kind, self.regions.names],
            "attributes": None if self.attributes is None else _digest(self.attributes.values),
            "measures": measures,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def choose(source: Source, count: int | None, seed: int) -> tuple[Subset, NDArray[np.int64]]:
    """Return images of a source in an order drawn by a seed, so that the first ones are a sample too, and the order.

    Args:
        source: the images.
        count: their number; None for all.
        seed: the seed of the draw.

    Example:
        >>> from resemblance.data.sources.source import ArraySource
        >>> source = ArraySource(np.zeros((5, 2, 2, 1), np.uint8), range(5), "abcde")
        >>> choose(source, 3, 0)[0].labels.tolist(), choose(source, 9, 0)[1].tolist()
        ([2, 4, 3], [2, 4, 3, 0, 1])
    """
    order = np.random.default_rng(seed).permutation(len(source))[:count]
    return Subset(source, order), order


def checksum(model: nn.Module) -> str:
    """Return the SHA-256 of all tensors of a model, with their names."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _problem(make: Callable[[], Tensor]) -> str | None:
    try:
        make()
    except UserError as error:
        return str(error)
    return None


def no_black_box(subject: Subject) -> str | None:
    """Explain that there is no black box to compare with, if so."""
    if subject.black_box is not None:
        return None
    return "there is no black box to compare with; add --blackbox RUN"


def no_regions(subject: Subject) -> str | None:
    """Explain that no object parts, boxes or masks are given, if so."""
    return None if subject.regions is not None else "it needs --regions KIND:PATH"


def no_attributes(subject: Subject) -> str | None:
    """Explain that no attributes are given, if so."""
    return None if subject.attributes is not None else "it needs --attributes FILE"
