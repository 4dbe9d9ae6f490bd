"""The heads to which a latent certificate applies, recognised by what they compute.

Two kinds do: the class of the nearest prototype, and a fixed weighted sum of similarities that fall with the distance
of the nearest place. Which one a model has is tried on images of noise, so that methods of others are recognised, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from resemblance.audit.integrity.latent_certificate import linear_radius, nearest_radius
from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.geometry import SMALLEST, InnerProduct, SquaredDistance
from resemblance.prototypes.precision import widest
from resemblance.prototypes.similarity import pairwise_distances
from resemblance.prototypes.vectors import Activation, VectorPrototypes

PROBES = 4  # images of noise
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Space:
    """The space in which distances are taken.

    Args:
        unit: the unit of radii, for texts.
        distances: turns the layer's values (B, P) into distances that move by at most as much as the latents.
        similarity: turns these distances into similarities.
        between: the distance of two sets of vectors (n, D), row by row.
        smallest: the smallest possible distance.
        largest: the largest possible distance.
        reach: how far a window moves if each of its cells moves by 1.
    """

    unit: str
    distances: Callable[[Tensor], Tensor]
    similarity: Callable[[Tensor], Tensor]
    between: Callable[[Tensor, Tensor], Tensor]
    smallest: float = 0.0
    largest: float = math.inf
    reach: float = 1.0


@dataclass(frozen=True)
class CertifiedHead:
    """A head with bounds for its answer.

    Args:
        layer: the prototypes.
        space: where distances are taken.
        weights: (C, P); None for the class of the nearest prototype.
        bias: (C,).
        between: (P, P), the distances of prototypes of whole images; None where they are not needed.
    """

    layer: VectorPrototypes
    space: Space
    weights: Tensor | None = None
    bias: Tensor | None = None
    between: Tensor | None = None

    @torch.no_grad()
    def radii(self, latents: Tensor, predicted: Tensor) -> Tensor:
        """Return the certified radius of each image, (B,), in float64 where the device has it.

        Args:
            latents: of B images.
            predicted: (B,), the model's answers.
        """
        layer, space = self.layer, self.space
        distances = space.distances(_wide(layer.nearest(layer.compared(latents))[0]))
        if self.weights is None or self.bias is None:
            radii = nearest_radius(distances, layer.owners, predicted, self.between)
        else:
            radii = linear_radius(
                distances,
                self.weights,
                self.bias,
                predicted,
                space.similarity,
                smallest=space.smallest,
                largest=space.largest,
            )
        return radii / space.reach

    def moved(self, before: Tensor, after: Tensor) -> Tensor:
        """Return how far latents have moved, (B,): the cell that moved farthest, or the whole embedding."""
        first, second = (self._rows(_wide(self.layer.compared(latents))) for latents in (before, after))
        return self.space.between(first, second).amax(dim=1)

    def _rows(self, latents: Tensor) -> Tensor:
        """Return what moves as a whole: cells (B, H·W, D), or embeddings (B, 1, E)."""
        return latents.flatten(2).transpose(1, 2) if self.layer.has_maps else latents[:, None]


def certified_head(model: PrototypeModel) -> CertifiedHead | str:
    """Return the head of a model with its bounds, or why there are none.

    Args:
        model: in evaluation mode.
    """
    layer = model.prototypes
    if not isinstance(layer, VectorPrototypes):
        return f"the {model.traits.words.many} of {model.name} are not vectors, so that there are no distances to bound"
    space = space_of(layer)
    if space is None:
        return f"the similarities of {model.name} do not bound how far latents may move"
    image = model.spec.image
    noise = torch.rand(PROBES, image.channels, *image.size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latents = model.latents(noise.to(model.device))
        output = model.head(latents)
        values = _wide(layer.nearest(layer.compared(latents))[0])
        if not _close(space.similarity(space.distances(values)), output.similarities):
            return f"the similarities of {model.name} are not those of the nearest place alone"
        if not _falls(space, values):
            return f"the similarities of {model.name} do not fall with the distance"
        if _is_nearest(layer, output):
            if isinstance(layer.geometry, SquaredDistance):
                vectors = _wide(layer.vectors.detach()).flatten(1)
                between = None if layer.has_maps else pairwise_distances(vectors, vectors)
                return CertifiedHead(layer, space, between=between)
        elif (pair := _linear(model, latents, output)) is not None:
            return CertifiedHead(layer, space, *pair)
    return f"the scores of {model.name} are neither the nearest prototype's nor a fixed weighted sum of similarities"


def space_of(layer: VectorPrototypes) -> Space | None:
    """Return the space in which a layer compares; None if its numbers are not bounded by how far latents move."""
    geometry, activation = layer.geometry, layer.activation
    if isinstance(geometry, SquaredDistance):
        return Space(
            "Euclidean distance",
            _root,
            partial(_of_square, activation),
            _distances,
            reach=math.sqrt(math.prod(layer.window)),
        )
    if isinstance(geometry, InnerProduct) and geometry.unit_vectors and geometry.unit_patches:
        return Space(
            "rad",
            _angle_of,
            partial(_of_angle, activation),
            _angles,
            largest=math.pi,
        )
    if isinstance(geometry, InnerProduct) and geometry.unit_vectors:
        return Space(
            "Euclidean distance",
            torch.positive,
            activation,
            _distances,
            smallest=-math.inf,
        )
    return None


# Functions of the module, so that a check can be sent to another process.


def _root(values: Tensor) -> Tensor:
    return values.clamp_min(0).sqrt()


def _of_square(activation: Activation, distances: Tensor) -> Tensor:
    return activation(distances.square())


def _distances(first: Tensor, second: Tensor) -> Tensor:
    distances: Tensor = torch.linalg.vector_norm(first - second, dim=-1)
    return distances


def _angle_of(values: Tensor) -> Tensor:
    return (-values).clamp(-1, 1).arccos()


def _of_angle(activation: Activation, angles: Tensor) -> Tensor:
    return activation(-angles.cos())


def _angles(first: Tensor, second: Tensor) -> Tensor:
    first, second = (
        rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min(SMALLEST)
        for rows in (first, second)
    )
    return (first * second).sum(dim=-1).clamp(-1, 1).arccos()


def _wide(values: Tensor) -> Tensor:
    """Return numbers in float64 where their device has it."""
    return values.to(widest(values.device))


def _close(first: Tensor, second: Tensor) -> bool:
    scale = max(float(second.abs().max()), 1.0)
    return bool(((first - second).abs() <= TOLERANCE * scale).all())


def _falls(space: Space, values: Tensor) -> bool:
    """Check that similarities do not increase over the distances seen, and on both sides of them."""
    distances = space.distances(values)
    span = float(distances.abs().max()) + 1.0
    low, high = max(space.smallest, -2 * span), min(space.largest, 2 * span)
    steps = torch.linspace(low, high, 200, dtype=values.dtype, device=values.device)
    return bool((space.similarity(steps).diff() <= 0).all())


def _is_nearest(layer: VectorPrototypes, output: Output) -> bool:
    """Check whether each score is the similarity of the class's nearest prototype."""
    owners = layer.owners
    if not bool((owners.sum(dim=1) == 1).all()) or not bool(owners.any(dim=0).any()):
        return False
    best = output.similarities[:, :, None].masked_fill(~owners, -torch.inf).amax(dim=1)  # (B, C)
    owned = owners.any(dim=0)
    return bool((best == output.scores)[:, owned].all())


def _linear(model: PrototypeModel, latents: Tensor, output: Output) -> tuple[Tensor, Tensor] | None:
    """Return W (C, P) and b (C,) if the scores are W g + b for all images; None otherwise."""
    classes = torch.arange(model.spec.num_classes, device=model.device)
    matrices = []
    for image in (latents[:1], latents[1:2]):
        repeated = model.head(image.expand(len(classes), *image.shape[1:]))
        evidence = model.evidence(repeated, classes)
        if evidence.weights is None or evidence.paths is not None or evidence.similarities is not None:
            return None
        empty = _wide(evidence.weights.new_zeros(len(classes), len(model.prototypes)))
        matrices.append(empty.index_add(1, evidence.prototypes, _wide(evidence.weights)))
    weights = matrices[0]
    sums, scores = _wide(output.similarities) @ weights.T, _wide(output.scores)
    rest = scores - sums
    bias = rest.mean(dim=0)
    if torch.equal(*matrices) and _close(sums + bias, scores):
        return weights, bias
    return None
