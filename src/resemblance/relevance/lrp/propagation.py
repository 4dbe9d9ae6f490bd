"""Relevance maps of prototypes (PRP) and of class scores (LRP)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.config.relevance import Definition
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.encoders.probe import evaluating, without_gradients
from resemblance.relevance.lrp.conservation import check
from resemblance.relevance.lrp.interception import Rules
from resemblance.relevance.lrp.seeds import class_seed, prototype_seed
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
            yield prototype_seed(model, latents, column, released)

    return _propagated(model, images, which, seeds, lambda x: model.latents(x), definition).sum(dim=2)


def lrp_maps(
    model: Classifier,
    images: Tensor,
    classes: Tensor,
    *,
    definition: Definition = "default",
    per_channel: bool = False,
) -> Tensor:
    """Compute which pixels the scores of classes rest on, by layer-wise relevance propagation.

    For a model with prototypes, each prototype has the relevance that it contributes to the score.

    Args:
        model: any model.
        images: (B, C, H, W) in [0, 1].
        classes: (B,), the class whose score is explained.
        definition: as for `prp_maps`.
        per_channel: keep the channels of the images apart, instead of adding them up.

    Returns:
        (B, H, W), or (B, C, H, W) per channel.

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

        maps = _propagated(model, images, classes[:, None], seeds, compute, definition)[:, 0]
        return maps if per_channel else maps.sum(dim=1)
    released = definition == "released"

    def class_seeds(latents: Any, chosen: Tensor) -> Iterator[Any]:
        yield class_seed(model, latents, chosen[:, 0], released)

    maps = _propagated(model, images, classes[:, None], class_seeds, lambda x: model.latents(x), definition)
    return maps[:, 0] if per_channel else maps[:, 0].sum(dim=1)


def _propagated(
    model: Classifier,
    images: Tensor,
    targets: Tensor,
    seeds: Callable[[Any, Tensor], Iterator[Any]],
    compute: Callable[[Tensor], Any],
    definition: Definition,
) -> Tensor:
    """Propagate relevance from seeds at the result of ``compute`` to the images, some at a time: (B, K, C, H, W)."""
    at_once = max(PIXELS // (images.shape[2] * images.shape[3]), 1)
    maps = []
    with evaluating(model), without_gradients(model), torch.enable_grad(), refusing(model):
        check(model, images, compute)
        for part, chosen in zip(torch.split(images, at_once), torch.split(targets, at_once), strict=True):
            x = part.detach().clone().to(model.device, model.normalize.mean.dtype).requires_grad_()
            with Rules(x, definition):
                outputs = compute(x)
            ends = [t for t in tensors(outputs) if t.requires_grad]
            columns = []
            for seed in seeds(detached(outputs), chosen.to(model.device)):
                starts = [s for s, t in zip(tensors(seed), tensors(outputs), strict=True) if t.requires_grad]
                relevance = torch.autograd.grad(ends, x, starts, retain_graph=True)[0]
                columns.append(relevance)
            maps.append(
                torch.stack(columns, dim=1) if columns else part.new_zeros(len(part), 0, *part.shape[1:])
            )
    return torch.cat(maps) if maps else images.new_zeros(0, targets.shape[1], *images.shape[1:])


def detached(values: Any) -> Any:
    """Return nested tensors without their gradients."""
    if isinstance(values, Tensor):
        return values.detach()
    return type(values)(detached(value) for value in values)


@contextmanager
def refusing(model: Classifier) -> Iterator[None]:
    """Name the model in the messages about missing rules."""
    try:
        yield
    except NoRuleError as error:
        raise UserError(
            f"{model.name}: no relevance map (prp), because {error}; use smoothgrad or integrated instead"
        ) from error
