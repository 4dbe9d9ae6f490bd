"""Clustering: the prototypes of a KMEx model become the centres of its training images' embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch
from resemblance.data.progress import track
from resemblance.methods.kmex.embeddings import BUDGET, Embeddings, Vectors
from resemblance.methods.kmex.kmeans import centres
from resemblance.methods.kmex.model import KMEx
from resemblance.methods.kmex.sampling import Sample, lowest, priorities
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images
from resemblance.training.ends.usage import count_usage, count_usage_of_latents

LARGEST = 200_000  # embeddings a class that are clustered without sampling
BLOCK = 1 << 22  # similarities computed at once from stored embeddings
Triples = Iterator[tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Clustering:
    """What was clustered, class by class.

    Args:
        classes: their names.
        images: images of each.
        embeddings: of each, one an image or one a patch.
        clustered: how many of them were clustered; fewer where a sample was drawn.
        prototypes: centres of each.
        wanted: centres asked for.
        on_disk: whether the embeddings were kept in a temporary file.
    """

    classes: tuple[str, ...]
    images: tuple[int, ...]
    embeddings: tuple[int, ...]
    clustered: tuple[int, ...]
    prototypes: tuple[int, ...]
    wanted: int
    on_disk: bool = False

    def lines(self) -> list[str]:
        """What the user should know of it.

        Example:
            >>> Clustering(("cat", "dog"), (9, 0), (9, 0), (9, 0), (5, 0), 5).lines()
            ['no training images of dog: without prototypes it is never predicted']
        """
        lines = []
        empty = [name for name, count in zip(self.classes, self.images, strict=True) if not count]
        counted = zip(self.classes, self.prototypes, strict=True)
        few = [f"{name} ({count})" for name, count in counted if 0 < count < self.wanted]
        sampled = [c for c, count in enumerate(self.clustered) if count < self.embeddings[c]]
        if empty:
            fate = "it is" if len(empty) == 1 else "they are"
            lines.append(f"no training images of {_some(empty)}: without prototypes {fate} never predicted")
        if few:
            lines.append(f"fewer than {self.wanted} different embeddings, so fewer prototypes: {_some(few)}")
        if sampled:
            some = min(self.clustered[c] for c in sampled)
            lines.append(
                f"in {len(sampled)} of {len(self.classes)} classes a random sample of the embeddings was "
                f"clustered: {some} or more a class, of {sum(self.embeddings)} in all"
            )
        if self.on_disk:
            lines.append("the embeddings did not fit the memory set aside for them; a file held them")
        return lines


def cluster(
    model: KMEx, loader: Iterable[Batch], *, seed: int = 0, budget: int = BUDGET, progress: bool = False
) -> Clustering:
    """Find the prototypes of each class by k-means, and count how they are used.

    Whole images take one pass: their embeddings are kept, in memory up to the budget and in a temporary file
    beyond it, and both k-means and the counting read them. Patches take two: a sample of their embeddings
    that fits the budget is clustered, and the second pass counts. Neither result depends on the batches.
    Source: Gautam et al. 2024, section 3 and appendix A.4.

    Args:
        model: its prototypes are replaced; fewer than asked for where a class has fewer different embeddings.
        loader: the un-augmented training images.
        seed: of k-means++ and of samples.
        budget: bytes of embeddings to hold in memory.
        progress: whether to show bars.

    Raises:
        UserError: without images, or if embeddings are not finite.
    """
    with evaluating(model):
        if not model.config.patches:
            return _cluster_images(model, loader, seed, budget, progress)
        found = _cluster_patches(model, loader, seed, budget, progress)
    count_usage(model, loader, progress=progress)
    return found


def _cluster_images(
    model: KMEx, loader: Iterable[Batch], seed: int, budget: int, progress: bool
) -> Clustering:
    with Embeddings(budget) as store:
        for latents, labels, indices in latents_of(model, loader, "embedding", progress):
            store.append(latents.cpu().numpy(), labels.cpu().numpy(), indices.cpu().numpy())
        owner, keys = store.labels, store.indices
        order = np.lexsort((keys, owner))
        ends = np.searchsorted(owner[order], np.arange(model.spec.num_classes + 1))
        most, clustered = min(model.config.subset or LARGEST, LARGEST), []

        def rows_by_class() -> Iterator[Vectors]:
            for start, end in pairwise(ends.tolist()):
                numbers = order[start:end]
                numbers = numbers[lowest(priorities(keys[numbers], seed), most)]
                clustered.append(len(numbers))
                yield store.take(numbers)

        counts = _place(model, rows_by_class(), seed, progress)
        count_usage_of_latents(model, _stored(model, store))
        images = tuple(int(count) for count in np.diff(ends))
        return Clustering(
            model.spec.classes,
            images,
            images,
            tuple(clustered),
            counts,
            model.config.prototypes_per_class,
            store.on_disk,
        )


def _stored(model: KMEx, store: Embeddings) -> Triples:
    for block in store.blocks(max(min(BLOCK // len(model.prototypes), 4096), 1)):
        latents, labels, indices = (torch.from_numpy(part).to(model.device) for part in block)
        yield latents, labels, indices


def _cluster_patches(
    model: KMEx, loader: Iterable[Batch], seed: int, budget: int, progress: bool
) -> Clustering:
    classes, wanted = model.spec.num_classes, model.config.prototypes_per_class
    affordable = max(budget // (classes * model.encoder.channels * 4 * 3), 20 * wanted)
    most = min(model.config.subset or LARGEST, LARGEST, affordable)
    samples = [Sample(most, seed) for _ in range(classes)]
    images = np.zeros(classes, np.int64)
    for latents, labels, indices in latents_of(model, loader, "embedding patches", progress):
        batch, depth, cells = latents.flatten(2).shape
        rows = latents.flatten(2).transpose(1, 2).reshape(batch * cells, depth).cpu().numpy()
        keys = (indices.cpu()[:, None] * cells + torch.arange(cells)).flatten().numpy()
        owner = np.repeat(labels.cpu().numpy(), cells)
        images += np.bincount(labels.cpu().numpy(), minlength=classes)
        for c in np.unique(owner):
            samples[c].add(rows[owner == c], keys[owner == c])
    embeddings = tuple(sample.seen for sample in samples)
    clustered = tuple(min(sample.seen, most) for sample in samples)
    counts = _place(model, (sample.rows() for sample in samples), seed, progress)
    return Clustering(model.spec.classes, tuple(images.tolist()), embeddings, clustered, counts, wanted)


def _place(model: KMEx, rows_by_class: Iterable[Vectors], seed: int, progress: bool) -> tuple[int, ...]:
    """Cluster each class and put the centres into the model; how many there are of each class."""
    config, found = model.config, list[Vectors]()
    for c, rows in enumerate(track(rows_by_class, "clustering", progress)):
        if not np.isfinite(rows).all():
            raise UserError(
                f"embeddings of class {model.spec.classes[c]!r} are infinite or undefined; "
                "check the encoder's weights and the images' mean and std"
            )
        if len(rows) == 0:
            found.append(np.empty((0, 1), np.float32))
            continue
        own = int(np.random.SeedSequence((seed, c)).generate_state(1)[0])
        found.append(centres(rows, config.prototypes_per_class, seed=own, n_init=config.n_init))
    if not any(len(part) for part in found):
        raise UserError("there are no training images to cluster")
    counts = torch.tensor([len(part) for part in found])
    vectors = torch.from_numpy(np.concatenate([part for part in found if len(part)]))
    owners = torch.eye(len(found), dtype=torch.bool).repeat_interleave(counts, dim=0)
    model.place(vectors[:, :, None, None] if model.config.patches else vectors, owners)
    return tuple(counts.tolist())


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@action("cluster")
def _cluster(model: PrototypeModel, context: ActionContext) -> None:
    assert isinstance(model, KMEx)
    found = cluster(model, training_images(model, context), seed=context.seed, progress=context.progress)
    context.notes += found.lines()
