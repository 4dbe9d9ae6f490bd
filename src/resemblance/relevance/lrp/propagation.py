"""Relevance maps of prototypes (PRP) and of class scores (LRP)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.definition import Definition
from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.encoders.probe import evaluating
from resemblance.relevance.lrp.conservation import check
from resemblance.relevance.lrp.interception import Rules
from resemblance.relevance.lrp.tracking import NoRuleError, tensors

PIXELS = 16 * 224 * 224  # of the images of one pass


def prp_maps(
    model: PrototypeModel, images: Tensor, which: Tensor, *, definition: Definition = "default"
) -> Tensor:
    """Compute which pixels the similarities to prototypes rest on, by prototypical relevance propagation.

    Relevance 1 begins at the place in the latent map where the prototype is most similar, is shared among the channels
    there, and goes back through the encoder. All prototypes share one forward pass.

    Args:
        model: a model with prototypes.
        images: (B, C, H, W) in [0, 1].
        which: the prototypes, (K,) the same for all images or (B, K).
        definition: ``released`` as the authors' code, with one bound for all channels and shares of dead channels.

    Returns:
        (B, K, H, W), summed over the channels of the images; about 1 in total, less what biases absorb.

    Raises:
        UserError: if the model does something for which there is no rule, or relevance is not conserved in it.

    Source: Gautam et al. 2023, "This looks more like that"; rules as in the authors' code.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.5,), (0.25,)))
        >>> model = build("protopnet", {"encoder": "small"}, spec).eval()
        >>> prp_maps(model, torch.rand(3, 1, 28, 28), torch.tensor([0, 7])).shape
        torch.Size([3, 2, 28, 28])
    """
    if which.dim() == 1:
        which = which.expand(len(images), -1)
    released = definition == "released"

    def seeds(latents: Any, chosen: Tensor) -> Iterator[Any]:
        for column in chosen.T:
            yield _prototype_seed(model, latents, column, released)

    return _propagated(model, images, which, seeds, lambda x: model.latents(x), definition)


def lrp_maps(
    model: Classifier, images: Tensor, classes: Tensor, *, definition: Definition = "default"
) -> Tensor:
    """Compute which pixels the scores of classes rest on, by layer-wise relevance propagation.

    For a model with prototypes, each prototype has the relevance that it contributes to the score.

    Args:
        model: any model.
        images: (B, C, H, W) in [0, 1].
        classes: (B,), the class whose score is explained.
        definition: as for `prp_maps`.

    Returns:
        (B, H, W), summed over the channels of the images.

    Raises:
        UserError: as `prp_maps`.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.5,), (0.25,)))
        >>> model = build("blackbox", {"encoder": "small"}, spec).eval()
        >>> lrp_maps(model, torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 1])).shape
        torch.Size([3, 28, 28])
    """
    if not isinstance(model, PrototypeModel):

        def seeds(scores: Any, chosen: Tensor) -> Iterator[Any]:
            yield torch.zeros_like(scores).scatter(1, chosen, 1.0)

        def compute(x: Tensor) -> Tensor:
            scores: Tensor = model(x).scores
            return scores

        return _propagated(model, images, classes[:, None], seeds, compute, definition)[:, 0]
    released = definition == "released"

    def class_seeds(latents: Any, chosen: Tensor) -> Iterator[Any]:
        yield _class_seed(model, latents, chosen[:, 0], released)

    return _propagated(model, images, classes[:, None], class_seeds, lambda x: model.latents(x), definition)[
        :, 0
    ]


def _propagated(
    model: Classifier,
    images: Tensor,
    targets: Tensor,
    seeds: Callable[[Any, Tensor], Iterator[Any]],
    compute: Callable[[Tensor], Any],
    definition: Definition,
) -> Tensor:
    """Propagate relevance from seeds at the result of ``compute`` to the images, some images at a time."""
    at_once = max(PIXELS // (images.shape[2] * images.shape[3]), 1)
    maps = []
    with evaluating(model), without_parameter_gradients(model), torch.enable_grad(), refusing(model):
        check(model, images, compute)
        for part, chosen in zip(torch.split(images, at_once), torch.split(targets, at_once), strict=True):
            x = part.detach().to(model.device).clone().requires_grad_()
            with Rules(x, definition):
                outputs = compute(x)
            ends = [t for t in tensors(outputs) if t.requires_grad]
            columns = []
            for seed in seeds(detached(outputs), chosen.to(model.device)):
                starts = [s for s, t in zip(tensors(seed), tensors(outputs), strict=True) if t.requires_grad]
                relevance = torch.autograd.grad(ends, x, starts, retain_graph=True)[0]
                columns.append(relevance.sum(dim=1))
            maps.append(
                torch.stack(columns, dim=1) if columns else part.new_zeros(len(part), 0, *part.shape[2:])
            )
    return torch.cat(maps) if maps else images.new_zeros(0, targets.shape[1], *images.shape[2:])


def _prototype_seed(model: PrototypeModel, latents: Any, which: Tensor, released: bool) -> Any:
    """Return the relevance at the latents for one prototype per image; a tuple for an ensemble."""
    parts = []
    for first, layer, own in model.prototypes.components(latents):
        inside = (which >= first) & (which < first + len(layer))
        share = layer.shares(own, (which - first).clamp(0, len(layer) - 1), released)
        parts.append(share * inside.reshape(-1, *[1] * (share.dim() - 1)))
    return parts[0] if isinstance(latents, Tensor) else tuple(parts)


def _class_seed(model: PrototypeModel, latents: Any, classes: Tensor, released: bool) -> Any:
    """Return the relevance at the latents for the score of one class per image: that of its contributions."""
    with torch.no_grad():
        evidence = model.evidence(model.head(latents), classes)
    if evidence.paths is not None:
        raise NoRuleError(
            "a path through a tree has no settled rule of relevance; ask for the map of a prototype"
        )
    total: Any = None
    used = (evidence.contributions != 0).any(dim=0).nonzero().flatten()
    for reason in used.tolist():
        which = evidence.prototypes[reason].expand(len(classes))
        seed = _prototype_seed(model, latents, which, released)
        weight = evidence.contributions[:, reason]
        scaled = _scaled(seed, weight)
        total = scaled if total is None else _added(total, scaled)
    return (
        _scaled(_prototype_seed(model, latents, classes * 0, released), 0 * classes)
        if total is None
        else total
    )


def _scaled(seed: Any, weight: Tensor) -> Any:
    if isinstance(seed, tuple):
        return tuple(_scaled(part, weight) for part in seed)
    return seed * weight.to(seed.dtype).reshape(-1, *[1] * (seed.dim() - 1))


def _added(first: Any, second: Any) -> Any:
    if isinstance(first, tuple):
        return tuple(a + b for a, b in zip(first, second, strict=True))
    return first + second


def detached(values: Any) -> Any:
    """Return nested tensors without their gradients."""
    if isinstance(values, Tensor):
        return values.detach()
    return type(values)(detached(value) for value in values)


@contextmanager
def without_parameter_gradients(model: nn.Module) -> Iterator[None]:
    """Let no parameter require a gradient inside the block."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def refusing(model: Classifier) -> Iterator[None]:
    """Name the model in the messages about missing rules."""
    try:
        yield
    except (NoRuleError, NotImplementedError) as error:
        raise UserError(
            f"{model.name}: no relevance map (prp), because {error}; use smoothgrad or integrated instead"
        ) from error
