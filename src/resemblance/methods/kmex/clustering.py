"""Clustering: the prototypes of a KMEx model become cluster centres of the embeddings of its training images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.progress import track
from resemblance.methods.kmex.embeddings import BUDGET, Embeddings, Vectors
from resemblance.methods.kmex.kmeans import centres
from resemblance.methods.kmex.model import KMEx
from resemblance.methods.kmex.sampling import Sample, lowest, priorities
from resemblance.training.ends.actions import ActionContext, action
from resemblance.training.ends.passes import evaluating, latents_of, training_images
from resemblance.training.ends.usage import count_usage, count_usage_of_latents

LARGEST = 200_000  # embeddings per class that are clustered without sampling
BLOCK = 1 << 19  # number of similarities that are computed at once from stored embeddings
LatentBatches = Iterator[tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Clustering:
    """The result of clustering, class by class.

    Args:
        classes: their names.
        images: number of images of each class.
        embeddings: number of embeddings of each class, one per image or one per patch.
        clustered: how many of them were clustered; fewer if a sample was drawn.
        prototypes: number of centres of each class.
        requested: number of centres per class that were requested.
        on_disk: whether the embeddings were kept in a temporary file.
    """

    classes: tuple[str, ...]
    images: tuple[int, ...]
    embeddings: tuple[int, ...]
    clustered: tuple[int, ...]
    prototypes: tuple[int, ...]
    requested: int
    on_disk: bool = False

    def lines(self) -> list[str]:
        """Return what the user should know about it.

        Example:
            >>> Clustering(("cat", "dog"), (9, 0), (9, 0), (9, 0), (5, 0), 5).lines()
            ['no training images of dog: without prototypes it is never predicted']
        """
        lines = []
        empty = [name for name, count in zip(self.classes, self.images, strict=True) if not count]
        counted = zip(self.classes, self.prototypes, strict=True)
        few = [f"{name} ({count})" for name, count in counted if 0 < count < self.requested]
        sampled = [c for c, count in enumerate(self.clustered) if count < self.embeddings[c]]
        if empty:
            verb = "it is" if len(empty) == 1 else "they are"
            lines.append(f"no training images of {_some(empty)}: without prototypes {verb} never predicted")
        if few:
            lines.append(
                f"fewer than {self.requested} different embeddings, so fewer prototypes: {_some(few)}"
            )
        if sampled:
            least = min(self.clustered[c] for c in sampled)
            lines.append(
                f"in {len(sampled)} of {len(self.classes)} classes a random sample of the embeddings was "
                f"clustered: {least} or more per class, of {sum(self.embeddings)} in all"
            )
        if self.on_disk:
            lines.append(
                "the embeddings did not fit in the memory reserved for them and were kept in a temporary file"
            )
        return lines


def cluster(
    model: KMEx,
    loader: Iterable[Batch | EncodedBatch],
    *,
    seed: int = 0,
    budget: int = BUDGET,
    progress: bool = False,
) -> Clustering:
    """Compute the prototypes of each class by k-means, and count how often they are used.

    Whole images need one pass: their embeddings are kept, in memory up to the budget and in a temporary file
    beyond it, and both k-means and the counting read them. Patches need two passes: a sample of their embeddings
    that fits in the budget is clustered, and the second pass counts. Neither result depends on the batches.
    Source: Gautam et al. 2024, section 3 and appendix A.4.

    Args:
        model: its prototypes are replaced; a class with few different embeddings gets fewer than requested.
        loader: the training images without augmentation.
        seed: seed of k-means++ and of samples.
        budget: bytes of embeddings to keep in memory.
        progress: whether to show progress bars.

    Raises:
        UserError: if there are no images, or if embeddings are not finite.
    """
    with evaluating(model):
        if not model.config.patches:
            return _cluster_images(model, loader, seed, budget, progress)
        clustering = _cluster_patches(model, loader, seed, budget, progress)
    count_usage(model, loader, progress=progress)
    return clustering


def _cluster_images(
    model: KMEx, loader: Iterable[Batch | EncodedBatch], seed: int, budget: int, progress: bool
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
                yield store.read(numbers)

        counts = _cluster_classes(model, rows_by_class(), seed, progress)
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


def _stored(model: KMEx, store: Embeddings) -> LatentBatches:
    for block in store.blocks(max(min(BLOCK // len(model.prototypes), 4096), 1)):
        latents, labels, indices = (torch.from_numpy(part).to(model.device) for part in block)
        yield latents, labels, indices


def _cluster_patches(
    model: KMEx, loader: Iterable[Batch | EncodedBatch], seed: int, budget: int, progress: bool
) -> Clustering:
    classes, requested = model.spec.num_classes, model.config.prototypes_per_class
    affordable = max(budget // (classes * model.encoder.channels * 4 * 3), 20 * requested)
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
    counts = _cluster_classes(model, (sample.rows() for sample in samples), seed, progress)
    return Clustering(model.spec.classes, tuple(images.tolist()), embeddings, clustered, counts, requested)


def _cluster_classes(
    model: KMEx, rows_by_class: Iterable[Vectors], seed: int, progress: bool
) -> tuple[int, ...]:
    """Cluster each class and put the centres into the model; return the number of centres of each class."""
    config, prototypes = model.config, list[Vectors]()
    for c, rows in enumerate(track(rows_by_class, "clustering", progress)):
        if not np.isfinite(rows).all():
            raise UserError(
                f"embeddings of class {model.spec.classes[c]!r} are infinite or undefined; "
                "check the encoder's weights and the images' mean and std"
            )
        if len(rows) == 0:
            prototypes.append(np.empty((0, 1), np.float32))
            continue
        class_seed = int(np.random.SeedSequence((seed, c)).generate_state(1)[0])
        prototypes.append(centres(rows, config.prototypes_per_class, seed=class_seed, n_init=config.n_init))
    if not any(len(part) for part in prototypes):
        raise UserError("there are no training images to cluster")
    counts = torch.tensor([len(part) for part in prototypes])
    vectors = torch.from_numpy(np.concatenate([part for part in prototypes if len(part)]))
    owners = torch.eye(len(prototypes), dtype=torch.bool).repeat_interleave(counts, dim=0)
    model.set_prototypes(vectors[:, :, None, None] if model.config.patches else vectors, owners)
    return tuple(counts.tolist())


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@action("cluster")
def _cluster(model: PrototypeModel, context: ActionContext) -> None:
    assert isinstance(model, KMEx)
    clustering = cluster(model, training_images(model, context), seed=context.seed, progress=context.progress)
    context.notes += clustering.lines()
