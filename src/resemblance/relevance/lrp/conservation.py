"""Check that a network conserves relevance under the rules; one that does not is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.relevance.lrp.interception import Rules
from resemblance.relevance.lrp.tracking import NoRuleError, tensors

TOLERANCE = 0.1  # of the share of the relevance that reaches the image
DIFFERENCE = 1e-3  # relative difference that the rules may make to the outputs
IMAGES = 4

_checked: WeakKeyDictionary[Classifier, tuple[Any, ...]] = WeakKeyDictionary()


def conserved(images: Tensor, compute: Callable[[Tensor], Any]) -> Tensor:
    """Return the share of the relevance that reaches each image when biases absorb none, (B,).

    Relevance begins at all outputs in proportion to their size.

    Args:
        images: (B, C, H, W) in [0, 1].
        compute: computes outputs from images, without gradients of parameters.

    Raises:
        NoRuleError: if it does something that has no rule, or if the rules change its outputs.
    """
    x = images.detach().clone().requires_grad_()
    with torch.no_grad():
        plain = tensors(compute(x.detach()))
    with Rules(x):
        outputs = tensors(compute(x))
    for before, after in zip(plain, outputs, strict=True):
        if (before - after).abs().max() > DIFFERENCE * (1 + before.abs().max()):
            raise NoRuleError("it changes values in place, so that relevance cannot follow them")
    # Biases absorb relevance, as they should: networks that work are measured without them.
    with Rules(x, biases=False):
        outputs = tensors(compute(x))
    ends = [t for t in outputs if t.requires_grad]
    if not ends:
        raise NoRuleError("its outputs do not depend on the image")
    sizes = [t.detach().abs() for t in ends]
    total = torch.stack([size.flatten(1).sum(dim=1) for size in sizes]).sum(dim=0).clamp_min(1e-30)
    seeds = [size / total.reshape(-1, *[1] * (size.dim() - 1)) for size in sizes]
    return torch.autograd.grad(ends, x, seeds)[0].flatten(1).sum(dim=1)


def check(model: Classifier, images: Tensor, compute: Callable[[Tensor], Any]) -> None:
    """Refuse a model that does not conserve relevance; measured once for each state of its weights.

    Raises:
        NoRuleError: if the share that reaches the images leaves [0.9, 1.1].
    """
    state = tuple((id(t), t._version) for t in (*model.parameters(), *model.buffers()))
    if len(images) == 0 or _checked.get(model) == state:
        return
    share = conserved(images[:IMAGES].to(model.device), compute).median().item()
    if not abs(share - 1) <= TOLERANCE:
        raise NoRuleError(
            f"its layers hand on {share:.3g} times the relevance that they receive, not all of it"
        )
    _checked[model] = state
