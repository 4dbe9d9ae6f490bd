"""The one call for relevance maps: which pixels speak for a prototype, or for the score of a class.

A kind of map is a small function of the model, the images and what is asked for; the tables below name them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.relevance import DEFINITIONS, MAP_KINDS, Definition, MapKind
from resemblance.config.values import near
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.encoders.probe import evaluating
from resemblance.relevance.gradients import (
    SAMPLES,
    STEPS,
    Values,
    input_times_gradient,
    integrated_gradients,
    smooth_relevance,
)
from resemblance.relevance.lrp import lrp_maps, prp_maps
from resemblance.relevance.similarity import similarity_maps


@dataclass(frozen=True)
class Settings:
    """The settings of the kinds that have any.

    Args:
        definition: for ``prp``: the rules, ``default``, ``paper`` or ``released``.
        seed: for ``smoothgrad``: the seed of the noise.
        samples: for ``smoothgrad``: the number of noisy copies.
        steps: for ``integrated``: the number of points on the path.
    """

    definition: Definition = "default"
    seed: int = 0
    samples: int = SAMPLES
    steps: int = STEPS

    def __post_init__(self) -> None:
        if self.definition not in DEFINITIONS:
            raise UserError(f"the definition must be {', '.join(DEFINITIONS)}, not {self.definition!r}")
        for name in ("samples", "steps"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")


_PrototypeKind = Callable[[PrototypeModel, Tensor, Tensor, Settings], Tensor]
_ClassKind = Callable[[Classifier, Tensor, Tensor, Settings], Tensor]
_ByGradient = Callable[[Values, Tensor, Settings], Tensor]


def prototype_maps(
    model: PrototypeModel,
    images: Tensor,
    which: Tensor,
    kind: str = "similarity",
    *,
    definition: Definition = "default",
    seed: int = 0,
    samples: int = SAMPLES,
    steps: int = STEPS,
) -> Tensor:
    """Return which pixels speak for the similarity to prototypes.

    The model is not changed. A map does not depend on the other images of the batch.

    Args:
        model: a model with prototypes.
        images: (B, C, H, W) in [0, 1].
        which: (K,) or (B, K) int64, the prototypes, the same for all images or those of each image.
        kind: ``similarity`` (upsampled similarity map), ``gradient`` (input × gradient), ``smoothgrad``,
            ``integrated`` (integrated gradients), or ``prp``; see docs/relevance.md.
        definition: for ``prp``: the rules.
        seed: for ``smoothgrad``: the seed of the noise.
        samples: for ``smoothgrad``: the number of noisy copies.
        steps: for ``integrated``: the number of points on the path.

    Returns:
        (B, K, H, W) on the model's device, signed, summed over the colour channels, in the size of the images.

    Raises:
        UserError: if there is no such kind or prototype, the images do not fit, or the model has no map of the kind.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model, images = build("protopnet", {"encoder": "small"}, spec), torch.rand(2, 1, 28, 28)
        >>> prototype_maps(model, images, torch.tensor([0, 12, 3])).shape
        torch.Size([2, 3, 28, 28])
        >>> prototype_maps(model, images, torch.tensor([[0], [12]]), "integrated").shape
        torch.Size([2, 1, 28, 28])
    """
    compute = _PROTOTYPE_KINDS[map_kind(kind)]
    if not isinstance(model, PrototypeModel):
        raise UserError(f"{model.name} has no prototypes; ask for class_maps")
    settings = Settings(definition, seed, samples, steps)
    with torch.inference_mode(False), evaluating(model):
        images, which = _images(model, images), _which(model, which, len(images))
        if which.numel() == 0:
            return images.new_zeros(*which.shape, *images.shape[2:])
        return compute(model, images, which, settings)


def class_maps(
    model: Classifier,
    images: Tensor,
    classes: Tensor,
    kind: str = "gradient",
    *,
    definition: Definition = "default",
    seed: int = 0,
    samples: int = SAMPLES,
    steps: int = STEPS,
    per_channel: bool = False,
) -> Tensor:
    """Return which pixels speak for the score of a class; also for a model without prototypes.

    Args:
        model: any model.
        images: (B, C, H, W) in [0, 1].
        classes: (B,) int64, the class of each image.
        kind: as for `prototype_maps`, but for ``similarity``, which belongs to a prototype.
        definition: as for `prototype_maps`.
        seed: as for `prototype_maps`.
        samples: as for `prototype_maps`.
        steps: as for `prototype_maps`.
        per_channel: keep the colour channels apart, instead of adding them up.

    Returns:
        (B, H, W) on the model's device, or (B, C, H, W) per channel, signed, in the size of the images.

    Raises:
        UserError: if there is no such kind or class, the images do not fit, or the model has no map of the kind.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model, images = build("blackbox", {"encoder": "small"}, spec), torch.rand(2, 1, 28, 28)
        >>> class_maps(model, images, torch.tensor([0, 1]), "smoothgrad").shape
        torch.Size([2, 28, 28])
    """
    compute = _CLASS_KINDS[map_kind(kind)]
    settings = Settings(definition, seed, samples, steps)
    with torch.inference_mode(False), evaluating(model):
        images, classes = _images(model, images), _classes(model, classes, len(images))
        maps = compute(model, images, classes, settings) if classes.numel() else torch.zeros_like(images)
        return maps if per_channel else maps.sum(dim=1)


def map_kind(name: str) -> MapKind:
    """Return the kind of map of this name.

    Raises:
        UserError: if there is none.

    Example:
        >>> map_kind("smoothgrads")
        Traceback (most recent call last):
        resemblance.config.errors.UserError: there is no map 'smoothgrads'; did you mean 'smoothgrad'?; the maps are ...
    """
    for known in MAP_KINDS:
        if name == known:
            return known
    raise UserError(
        f"there is no map {name!r}{near(str(name), MAP_KINDS)}; the maps are {', '.join(MAP_KINDS)}"
    )


# What a map is asked of: the values that have a gradient, or rules of their own.


def _of_similarities(by_gradient: _ByGradient) -> _PrototypeKind:
    def compute(model: PrototypeModel, images: Tensor, which: Tensor, settings: Settings) -> Tensor:
        def values(images: Tensor) -> Tensor:
            similarities: Tensor = model(images).similarities
            return similarities.gather(1, which.to(similarities.device))

        return by_gradient(values, images, settings).sum(dim=2)

    return compute


def _of_scores(by_gradient: _ByGradient) -> _ClassKind:
    def compute(model: Classifier, images: Tensor, classes: Tensor, settings: Settings) -> Tensor:
        if not model.traits.differentiable:
            raise UserError(
                f"the scores of this {model.name} have no gradient, because a single leaf classifies; ask for maps of "
                "its prototypes"
            )

        def values(images: Tensor) -> Tensor:
            scores: Tensor = model(images).scores
            return scores.gather(1, classes[:, None].to(scores.device))

        return by_gradient(values, images, settings)[:, 0]

    return compute


def _similarity(model: PrototypeModel, images: Tensor, which: Tensor, _: Settings) -> Tensor:
    with torch.no_grad():
        return similarity_maps(model, model(images), which, (images.shape[2], images.shape[3]))


def _no_similarity(model: Classifier, images: Tensor, classes: Tensor, _: Settings) -> Tensor:
    raise UserError(
        "a similarity map belongs to a prototype, not to a class; choose gradient, smoothgrad, integrated or prp"
    )


def _prp(model: PrototypeModel, images: Tensor, which: Tensor, settings: Settings) -> Tensor:
    return prp_maps(model, images, which, definition=settings.definition)


def _lrp(model: Classifier, images: Tensor, classes: Tensor, settings: Settings) -> Tensor:
    return lrp_maps(model, images, classes, definition=settings.definition, per_channel=True)


_BY_GRADIENT: dict[MapKind, _ByGradient] = {
    "gradient": lambda values, images, _: input_times_gradient(values, images),
    "smoothgrad": lambda values, images, s: smooth_relevance(values, images, seed=s.seed, samples=s.samples),
    "integrated": lambda values, images, s: integrated_gradients(values, images, steps=s.steps),
}
_PROTOTYPE_KINDS: dict[MapKind, _PrototypeKind] = {
    "similarity": _similarity,
    **{kind: _of_similarities(compute) for kind, compute in _BY_GRADIENT.items()},
    "prp": _prp,
}
_CLASS_KINDS: dict[MapKind, _ClassKind] = {
    "similarity": _no_similarity,
    **{kind: _of_scores(compute) for kind, compute in _BY_GRADIENT.items()},
    "prp": _lrp,
}


# What is asked for, checked.


def _images(model: Classifier, images: Tensor) -> Tensor:
    """Return the images on the model's device and in its type."""
    spec = model.spec.image
    shape = (spec.channels, *spec.size)
    if images.dim() != 4 or tuple(images.shape[1:]) != shape:
        raise UserError(
            f"the images must be of shape (B, {', '.join(map(str, shape))}), not {tuple(images.shape)}"
        )
    return images.detach().clone().to(model.device, model.normalize.mean.dtype)


def _which(model: PrototypeModel, which: Tensor, count: int) -> Tensor:
    which = _indices(which, len(model.prototypes), "prototype").to(model.device)
    if which.dim() == 1:
        which = which.expand(count, -1)
    if which.dim() != 2 or len(which) != count:
        raise UserError(f"which must be (K,) or ({count}, K), not {tuple(which.shape)}")
    return which


def _classes(model: Classifier, classes: Tensor, count: int) -> Tensor:
    classes = _indices(classes, model.spec.num_classes, "class").to(model.device)
    if tuple(classes.shape) != (count,):
        raise UserError(f"classes must be ({count},), one per image, not {tuple(classes.shape)}")
    return classes


def _indices(indices: Tensor, count: int, word: str) -> Tensor:
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise UserError(f"the indices of {word} must be whole numbers, not {indices.dtype}")
    outside = indices[(indices < 0) | (indices >= count)]
    if len(outside):
        raise UserError(f"the model has no {word} {int(outside[0])}; it has 0 to {count - 1}")
    return indices.detach().clone().long()
