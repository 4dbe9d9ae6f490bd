"""The latent space of a model in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from resemblance.config.errors import UserError
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
    """Images and prototypes as points.

    Args:
        images: (N, 2).
        labels: (N,).
        prototypes: (P, 2).
        projection: ``pca`` or ``umap``.
        explained: the share of variance that two principal components carry; NaN for UMAP.
    """

    images: NDArray[np.float64]
    labels: NDArray[np.int64]
    prototypes: NDArray[np.float64]
    projection: str
    explained: float = float("nan")


def embedded_images(
    run: RunRecord,
    source: Source,
    limit: int,
    seed: int,
    projection: str,
    batch_size: int = 128,
    workers: int = 0,
) -> EmbeddedImages:
    """Embed images and prototypes and bring both to two dimensions.

    Part prototypes lie among the cells of the latent maps, images at the mean of their cells; so does a
    prototype of several cells.

    Args:
        run: with its model.
        source: images.
        limit: at most so many, drawn by ``seed``.
        seed: also of UMAP's layout.
        projection: ``pca`` or ``umap``.
        batch_size: images a batch.
        workers: loader processes.

    Raises:
        UserError: if umap-learn is wanted but not installed.
    """
    model = run.model
    chosen = np.sort(np.random.default_rng(seed).permutation(len(source))[:limit])
    images = ImageDataset(Subset(source, chosen), model.spec.image)
    parts, labels = [], []
    with evaluating(model):
        for latents, truth, _ in latents_of(model, loader(images, batch_size, workers), "embedding", True):
            parts.append(model.embed(latents).double().cpu())
            labels.append(truth.cpu())
        embeddings = torch.cat(parts).numpy()
        vectors = np.zeros((0, embeddings.shape[1]))
        prototypes = prototypes_of(model)
        if prototypes is not None and prototypes.has_vectors:
            own = prototypes.vectors.detach().double().cpu()
            vectors = (own.flatten(2).mean(dim=2) if own.dim() > 2 else own).numpy()
    if vectors.shape[1] != embeddings.shape[1]:
        raise UserError(f"{run.name}: prototypes and images of {model.name} have no common space to draw")
    reduce = _pca if projection == "pca" else _umap
    points, squares, explained = reduce(embeddings, vectors, seed)
    return EmbeddedImages(points, torch.cat(labels).numpy(), squares, projection, explained)


def latent_space_figure(run: RunRecord, embedded: EmbeddedImages) -> Figure:
    """Draw the latent space of a run as KMEx's figure 1."""
    # concepts have no place among the images
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


Reduced = tuple[NDArray[np.float64], NDArray[np.float64], float]


def _pca(embeddings: NDArray[np.float64], vectors: NDArray[np.float64], seed: int) -> Reduced:
    pca = PCA(min(2, *embeddings.shape), svd_solver="full")
    with np.errstate(invalid="ignore", divide="ignore"):  # a single image has no variance
        pca.fit(embeddings)
    explained = float(np.nan_to_num(pca.explained_variance_ratio_).sum())
    points = _plane(pca.transform(np.concatenate([embeddings, vectors])))
    return points[: len(embeddings)], points[len(embeddings) :], explained


def _umap(embeddings: NDArray[np.float64], vectors: NDArray[np.float64], seed: int) -> Reduced:
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
    """Return two columns, even where the space has one dimension only."""
    return np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))
