"""The answers of the models for one batch of images: each is computed when the first measure asks, and once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.data.regions import Regions
from resemblance.metrics.suite.cost import Cost
from resemblance.metrics.suite.subject import Subject
from resemblance.relevance.maps import class_maps, prototype_maps
from resemblance.relevance.similarity import similarity_maps

MOST = 10  # the largest number of prototypes per image whose maps are computed
PIXELS = 32 * 224 * 224  # of the images of one pass with gradients
REASONS = 5  # of a model whose prototypes belong to no class: the prototypes that contribute most


class Answers:
    """What a model, and the black box, say about one batch of images.

    Args:
        subject: the model and its settings.
        batch: images in [0, 1], labels, and positions among the images that are measured.
        cost: counts what is computed.

    Attributes:
        images: (B, C, H, W) in [0, 1], on the model's device.
        labels: (B,), on the model's device.
        positions: (B,) int64, among the images of the pass, in main memory.
    """

    def __init__(self, subject: Subject, batch: Batch, cost: Cost) -> None:
        device = subject.model.device
        self.subject, self.cost = subject, cost
        self.images = batch.images.to(device, non_blocking=True)
        self.labels = batch.labels.to(device, non_blocking=True)
        self.positions = batch.indices

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Answers:
        """Return the answers for the first images of the batch alone; they are computed again."""
        if count >= len(self):
            return self
        batch = Batch(self.images[:count], self.labels[:count], self.positions[:count])
        return Answers(self.subject, batch, self.cost)

    @property
    def parts(self) -> list[slice]:
        """The rows of the batch in parts for passes with gradients, which keep in memory what every layer computes."""
        at_once = max(PIXELS // (self.images.shape[2] * self.images.shape[3]), 1)
        return [slice(start, start + at_once) for start in range(0, len(self), at_once)]

    @cached_property
    def indices(self) -> Tensor:
        """The numbers of the measured images in their data, (B,) int64, on which random draws depend."""
        return self.subject.data_indices[self.positions].to(self.images.device)

    # Classification

    @cached_property
    def output(self) -> Output:
        """The model's output."""
        return self.ask(self.images)

    @cached_property
    def probabilities(self) -> Tensor:
        """The model's probabilities, (B, C)."""
        return self.subject.model.probabilities(self.output.scores)

    @cached_property
    def predicted(self) -> Tensor:
        """The predicted classes, (B,)."""
        return self.output.scores.argmax(dim=1)

    @cached_property
    def black_box_predicted(self) -> Tensor | None:
        """The classes that the black box predicts, (B,); None without one."""
        black_box = self.subject.black_box
        if black_box is None:
            logits = self.output.extras.get("blackbox")
            return None if logits is None else logits.argmax(dim=1)
        self.cost.black_box += len(self)
        with torch.no_grad():
            output: Output = black_box(self.images)
        return output.scores.argmax(dim=1).to(self.images.device)

    def probability(self, classes: Tensor) -> Tensor:
        """Return the probability of one class per image, (B,)."""
        return self.probabilities.gather(1, classes[:, None])[:, 0]

    # Prototypes

    @cached_property
    def contributions(self) -> Tensor:
        """What each prototype contributes to the score of the predicted class, (B, P); several reasons are added."""
        model = self._explaining
        with torch.no_grad():
            evidence = model.evidence(self.output, self.predicted)
        total = evidence.contributions.new_zeros(len(self), len(model.prototypes))
        index = evidence.prototypes.to(total.device).expand_as(evidence.contributions)
        return total.scatter_add(1, index.clamp_min(0), evidence.contributions * (index >= 0))

    @cached_property
    def top(self) -> Tensor:
        """The prototype that contributes most to the predicted class, (B,)."""
        return self.contributions.argmax(dim=1)

    @cached_property
    def own(self) -> tuple[Tensor, Tensor]:
        """The prototypes of each image's true class, (B, K) int64, and which of them exist, (B, K) bool.

        Of more than `MOST`, the most similar ones. Where prototypes belong to no class, those that contribute most to
        the predicted class.
        """
        owners = self._explaining.prototypes.owners
        if not self.subject.owned:
            count = min(REASONS, len(owners))
            which = self.contributions.abs().topk(count, dim=1).indices
            return which, torch.ones_like(which, dtype=torch.bool)
        mine = owners.T[self.labels]  # (B, P)
        count = min(int(owners.sum(dim=0).amax()), MOST)
        ranked = self.output.similarities.masked_fill(~mine, -torch.inf)
        chosen = torch.zeros_like(mine).scatter(1, ranked.topk(count, dim=1).indices, True) & mine
        present, which = chosen.to(torch.uint8).sort(dim=1, descending=True, stable=True)
        return which[:, :count], present[:, :count].bool()

    def similarity(self, which: Tensor) -> Tensor:
        """Return the similarities to prototypes (B, K), (B, K)."""
        return self.output.similarities.gather(1, which)

    # Maps

    @cached_property
    def own_maps(self) -> Tensor:
        """The relevance maps of the prototypes of `own`, (B, K, H, W)."""
        return self.maps(self.images, self.own[0], self.output)

    @cached_property
    def top_maps(self) -> Tensor:
        """The relevance maps of the prototype that contributes most, (B, H, W)."""
        if "own_maps" not in vars(self):  # no measure has asked for the maps of all prototypes of the class
            return self.maps(self.images, self.top[:, None], self.output)[:, 0]
        which, present = self.own
        same = (which == self.top[:, None]) & present
        row = torch.arange(len(self), device=which.device)
        maps = self.own_maps[row, same.to(torch.uint8).argmax(dim=1)].clone()
        rest = (~same.any(dim=1)).nonzero().flatten()  # images that are predicted as another class
        if len(rest):
            maps[rest] = self._few(rest)
        return maps

    def _few(self, rows: Tensor) -> Tensor:
        """Return the maps of `top` for some images of the batch."""
        batch = Batch(self.images[rows], self.labels[rows], self.positions[rows.cpu()])
        few = Answers(self.subject, batch, self.cost)
        return few.maps(few.images, self.top[rows, None])[:, 0]

    def maps(self, images: Tensor, which: Tensor, output: Output | None = None) -> Tensor:
        """Return the relevance maps (B, K, H, W) of prototypes (B, K).

        Args:
            images: (B, C, H, W) in [0, 1].
            which: (B, K) int64.
            output: the model's output for them, if it is known.
        """
        model, settings, kind = self._explaining, self.subject.settings, self.subject.kind
        self.cost.prototype_maps += which.numel()
        if kind == "similarity":
            return self.similarity_maps(images, which, self.ask(images) if output is None else output)
        return prototype_maps(
            model, images, which, kind, definition=settings.definition, seed=settings.seed
        ).detach()

    def similarity_maps(self, images: Tensor, which: Tensor, output: Output) -> Tensor:
        """Return the similarity maps (B, K, H, W) of prototypes (B, K), from the model's output for the images."""
        with torch.no_grad():
            return similarity_maps(self._explaining, output, which, (images.shape[2], images.shape[3]))

    def class_maps(self, model: Classifier, classes: Tensor, per_channel: bool = False) -> Tensor:
        """Return the relevance maps (B, H, W), or (B, C, H, W), of classes (B,), by the model or the black box."""
        settings = self.subject.settings
        if model is self.subject.model:
            self.cost.class_maps += len(classes)
        else:
            self.cost.black_box_maps += len(classes)
        maps = class_maps(
            model,
            self.images,
            classes,
            self.subject.class_kind,
            definition=settings.definition,
            seed=settings.seed,
            per_channel=per_channel,
        )
        return maps.detach().to(self.images.device)

    @cached_property
    def prediction_maps(self) -> Tensor:
        """The maps of the prediction, (B, H, W): of the prototype that contributes most, or of the class."""
        if self.subject.explains is not None:
            return self.top_maps
        return self.class_maps(self.subject.model, self.predicted)

    # Annotations

    @cached_property
    def regions(self) -> Regions:
        """The annotated regions of the images, in main memory."""
        reader = self.subject.regions
        assert reader is not None
        return reader.batch(self.indices.tolist(), self.subject.model.spec.image)

    # Other images

    def ask(self, images: Tensor) -> Output:
        """Return the model's output for images, changed ones too."""
        self.cost.forward += len(images)
        with torch.no_grad():
            output: Output = self.subject.model(images)
        return output

    def ask_many(
        self, images: Callable[[int, int], Tensor], count: int, read: Callable[[Output], Tensor]
    ) -> Tensor:
        """Ask the model about many changed images, a batch at a time.

        Args:
            images: returns the images from one number to another.
            count: their number.
            read: what is kept of an output, one row per image.
        """
        size = self.subject.settings.batch_size
        parts = [read(self.ask(images(start, min(start + size, count)))) for start in range(0, count, size)]
        return torch.cat(parts)

    @property
    def _explaining(self) -> PrototypeModel:
        model = self.subject.explains
        assert model is not None
        return model
