"""The subject of an audit: a model, the images that it is tried on, and the settings of all checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import Source
from resemblance.metrics.suite.model_subject import ModelSubject
from resemblance.metrics.suite.subject import checksum
from resemblance.training.devices.pool import map_over_devices

STAMPED = 100  # training or foreign images whose content tells them from others


@dataclass(frozen=True)
class AuditSettings:
    """The settings on which the numbers depend.

    Args:
        eps: the largest change of a pixel by an attack, in the units of [0, 1].
        step: the change per step.
        steps: the number of steps.
        top: the number of prototypes per image that are attacked, those that contribute most.
        attacked: the largest number of images that are attacked, since an attack takes many passes per image.
        variant: ``paper``, or ``released`` for what the authors' code does where that differs.
        seed: the seed of all draws.
        batch_size: images per batch.
        examples: the largest number of example pictures per check.
    """

    eps: float = 8 / 255
    step: float = 2 / 255
    steps: int = 40
    top: int = 5
    attacked: int = 50
    variant: Literal["paper", "released"] = "paper"
    seed: int = 0
    batch_size: int = 32
    examples: int = 4


@dataclass
class AuditSubject(ModelSubject):
    """A model, and all that the checks read.

    Args:
        name: the name of its run.
        model: in evaluation mode.
        images: the images that it is tried on, in an order drawn by the seed, so that the first ones are a sample.
        labelled: whether the labels of the images are known; without labels, the predictions take their place.
        settings: the settings.
        train: the training images, un-augmented; None if they are not available.
        foreign: images of other things, for instance another data set; None if there are none.
        folder: the model folder; None for a model in memory.
        data: the name of the data and the split.
        recorded: whether the run records that it was trained on ``train``, and not merely the caller says so.
    """

    name: str
    model: Classifier
    images: Source
    labelled: bool = True
    settings: AuditSettings = field(default_factory=AuditSettings)
    train: Source | None = None
    foreign: Source | None = None
    folder: Path | None = None
    data: str = ""
    recorded: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        return self.model.spec.image.size

    def read(
        self, positions: Sequence[int] | NDArray[np.int64] | Tensor, source: Source | None = None
    ) -> Batch:
        """Read images at these positions, on the model's device.

        Args:
            positions: (B,).
            source: by default, the images that the model is tried on.

        Returns:
            The batch; its indices are the positions. Without labels, its labels mean nothing.
        """
        chosen = [int(position) for position in positions]
        images, labels, indices = ImageDataset(
            self.images if source is None else source, self.model.spec.image
        ).__getitems__(chosen)
        device = self.model.device
        return Batch(images.to(device), labels.to(device), indices.to(device))

    def batches(self, source: Source | None = None) -> Iterator[Batch]:
        """Read all images, batch by batch."""
        count = len(self.images if source is None else source)
        for start in range(0, count, self.settings.batch_size):
            yield self.read(range(start, min(start + self.settings.batch_size, count)), source)

    @cached_property
    def predictions(self) -> Tensor:
        """The predicted class of each image, (N,) int64 on the CPU."""
        batches = loader(ImageDataset(self.images, self.model.spec.image), self.settings.batch_size)
        with torch.no_grad():
            rows = list(map_over_devices(partial(_predicted, self.model), batches))
        return torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int64)

    @cached_property
    def correct(self) -> Tensor:
        """The positions of the images that are classified correctly, in their order; without labels, all of them."""
        if not self.labelled:
            return torch.arange(len(self.images))
        return (self.predictions == torch.from_numpy(self.images.labels)).nonzero().flatten()

    def attacked_parts(self) -> list[Tensor]:
        """Return the positions of the images to attack, batch by batch: correctly classified ones."""
        chosen, size = self.correct[: self.settings.attacked], self.settings.batch_size
        return [chosen[start : start + size] for start in range(0, len(chosen), size)]

    def key(self, checks: Sequence[str]) -> str:
        """Return a checksum of all that the results depend on: weights, images, settings and checks."""
        reference = self.model.reference if isinstance(self.model, PrototypeModel) else None
        content = {
            "model": checksum(self.model),
            "reference": None if reference is None else reference.to_dict(),
            "data": self.data,
            "images": [self.images.stamp(position) for position in range(len(self.images))],
            "labels": self.images.labels.tolist() if self.labelled else None,
            "train": None if self.train is None else _sample(self.train),
            "foreign": None if self.foreign is None else _sample(self.foreign),
            "settings": asdict(self.settings),
            "checks": list(checks),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def _predicted(model: Classifier, batch: Batch) -> Tensor:
    output: Output = model(batch.images.to(model.device))
    return output.scores.argmax(dim=1).cpu()


def _sample(source: Source) -> list[int | str]:
    """Return the number of images, a checksum of their labels, and the stamps of some of them.

    Names may be the same in other data, and labels in another split of the same data.
    """
    some = np.linspace(0, len(source) - 1, min(len(source), STAMPED)).round().astype(int).tolist()
    labels = hashlib.sha256(source.labels.tobytes()).hexdigest()
    return [len(source), labels, *(source.stamp(position) for position in some)]


def no_labels(subject: AuditSubject) -> str | None:
    """Explain that the true classes of the images are not known, if so."""
    return None if subject.labelled else "the classes of the images are not known"


def no_correct_image(subject: AuditSubject) -> str | None:
    """Explain that no image is classified correctly, if so."""
    return None if len(subject.correct) else "no image is classified correctly"


def no_foreign_images(subject: AuditSubject) -> str | None:
    """Explain that there are no images of other things, if so."""
    known = subject.foreign is not None and len(subject.foreign) > 0
    return None if known else "it needs images of other things: --foreign DATA"
