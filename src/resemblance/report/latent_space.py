"""Embed images and prototypes in two dimensions, and draw the latent space of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.output import Output
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import Source, Subset
from resemblance.drawing.latent_figure import latent_figure
from resemblance.explain.prototype_view import prototype_views
from resemblance.runs.run import RunRecord
from resemblance.training.ends.passes import evaluating, latents_of

DIMENSIONS = {"pca": "principal component", "umap": "UMAP dimension"}


@dataclass
class EmbeddedImages:
    """Images and prototypes as points in two dimensions.

    Args:
        images: (N, 2) the points of the images.
        labels: (N,) the classes of the images.
        prototypes: (P, 2) the points of the prototypes.
        projection: ``pca`` or ``umap``.
        explained: the share of the variance that two principal components explain; NaN for UMAP.
    """

    images: NDArray[np.float64]
    labels: NDArray[np.int64]
    prototypes: NDArray[np.float64]
    projection: str
    explained: float = float("nan")


class Embeddings:
    """The embeddings of images, collected in a pass over them.

    Args:
        model: the model.
    """

    def __init__(self, model: Classifier) -> None:
        self.model = model
        self._rows: list[Tensor] = []
        self._labels: list[Tensor] = []

    def read(self, output: Output, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of the images of a batch, by the model's output, and their labels."""
        return self.model.embed(output.latents.float()).double().cpu(), labels.cpu()

    def collect(self, batch: tuple[Tensor, Tensor]) -> None:
        """Add the embeddings and the labels of a batch."""
        self._rows.append(batch[0])
        self._labels.append(batch[1])

    @property
    def rows(self) -> NDArray[np.float64]:
        """The embeddings, (N, E)."""
        return torch.cat(self._rows).numpy()

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels of the images, (N,)."""
        return torch.cat(self._labels).numpy()


def draw(images: int, limit: int, seed: int) -> NDArray[np.int64]:
    """Return at most ``limit`` of so many images, at random."""
    return np.random.default_rng(seed).permutation(images)[:limit]


def embedded_images(
    run: RunRecord,
    source: Source,
    limit: int,
    seed: int,
    projection: str,
    batch_size: int = 128,
    workers: int = 0,
    embeddings: Embeddings | None = None,
) -> EmbeddedImages:
    """Embed images and prototypes, and project both to two dimensions.

    An image is embedded as the mean of the cells of its latent map, a prototype of several cells as the mean of these;
    a prototype of one cell is compared with single cells and lies among them.

    Args:
        run: the run.
        source: the images.
        limit: the largest number of images; they are drawn at random.
        seed: the seed of this choice and of UMAP's layout.
        projection: ``pca`` or ``umap``.
        batch_size: images per batch.
        workers: the number of processes that read images.
        embeddings: those of the same images in order, if another pass has collected them.

    Raises:
        UserError: if umap-learn is needed but not installed, prototypes have another dimension than images, or
            embeddings are not finite.
    """
    model = run.model
    if embeddings is None:
        embeddings = Embeddings(model)
        images = ImageDataset(Subset(source, np.sort(draw(len(source), limit, seed))), model.spec.image)
        batches = loader(images, batch_size, workers)
        with evaluating(model):
            for latents, labels, _ in latents_of(model, batches, "embedding", True):
                embeddings.collect((model.embed(latents).double().cpu(), labels.cpu()))
    rows = embeddings.rows
    vectors = np.zeros((0, rows.shape[1]))
    prototypes = prototypes_of(model)
    if prototypes is not None and prototypes.has_vectors:
        cells = prototypes.vectors.detach().double().cpu()
        vectors = (cells.flatten(2).mean(dim=2) if cells.dim() > 2 else cells).numpy()
    if vectors.shape[1] != rows.shape[1]:
        raise UserError(
            f"{run.name}: prototypes and images of {model.name} have no common latent space to draw"
        )
    if not (np.isfinite(rows).all() and np.isfinite(vectors).all()):
        raise UserError(
            f"{run.name}: embeddings of images or prototypes are infinite or NaN: the weights of {model.name} are "
            "damaged, or its training has diverged"
        )
    reduce = _pca if projection == "pca" else _umap
    points, squares, explained = reduce(rows, vectors, seed)
    return EmbeddedImages(points, embeddings.labels, squares, projection, explained)


def latent_space_figure(run: RunRecord, embedded: EmbeddedImages) -> Figure:
    """Draw the latent space of a run as in KMEx's figure 1."""
    # Concepts are not points in the latent space of images.
    views = prototype_views(run.model) if len(embedded.prototypes) else []
    classes = list(run.model.spec.classes)
    owners = np.array(
        [classes.index(view.classes[0]) if view.classes else -1 for view in views], dtype=np.int64
    )
    counted = bool(views) and all(view.importance is not None for view in views)
    return latent_figure(
        embedded.images,
        embedded.labels,
        embedded.prototypes,
        owners,
        classes,
        importance=np.array([view.importance for view in views]) if counted else None,
        pictures=[view.picture for view in views] if len(views) <= 60 else None,
        title=f"{run.name}: latent space",
        axes_name=DIMENSIONS[embedded.projection],
    )


Projected = tuple[NDArray[np.float64], NDArray[np.float64], float]


def _pca(embeddings: NDArray[np.float64], vectors: NDArray[np.float64], seed: int) -> Projected:
    pca = PCA(min(2, *embeddings.shape), svd_solver="full")
    with np.errstate(invalid="ignore", divide="ignore"):  # a single image has no variance
        pca.fit(embeddings)
    explained = float(np.nan_to_num(pca.explained_variance_ratio_).sum())
    points = _plane(pca.transform(np.concatenate([embeddings, vectors])))
    return points[: len(embeddings)], points[len(embeddings) :], explained


def _umap(embeddings: NDArray[np.float64], vectors: NDArray[np.float64], seed: int) -> Projected:
    try:
        from umap import UMAP
    except ImportError:
        raise UserError(
            "UMAP is not installed: pip install 'resemblance[umap]', or use --projection pca"
        ) from None
    together = np.concatenate([embeddings, vectors])
    points = UMAP(n_neighbors=min(15, len(together) - 1), random_state=seed, n_jobs=1).fit_transform(together)
    points = np.asarray(points, dtype=np.float64)
    return points[: len(embeddings)], points[len(embeddings) :], float("nan")


def _plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two columns, even if the space has only one dimension."""
    return np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))
