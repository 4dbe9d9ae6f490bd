"""What is known about the tensors of a network while it computes: facts on which the rules of relevance depend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resemblance.config.definition import Definition
from resemblance.config.errors import UserError
from resemblance.relevance.lrp.rules import Propagation, pass_through

Call = Callable[..., Any]


@dataclass
class Known:
    """What is known about a tensor of the network.

    Args:
        tensor: the tensor itself, kept so that its identity stays its own.
        bounds: its values for black and for white images; None once a layer with weights was passed.
        not_negative: whether no value can be negative.
        gate: whether its values are factors between 0 and 1, or −1 and 1, such as those of a sigmoid.
        propagation: the layer with weights whose output it is.
    """

    tensor: Tensor
    bounds: tuple[Tensor, Tensor] | None = None
    not_negative: bool = False
    gate: bool = False
    propagation: Propagation | None = None


class NoRuleError(UserError):
    """The network does something for which there is no rule of relevance."""


class Tracker:
    """Facts about the tensors of one forward pass.

    Args:
        images: (B, C, H, W) in [0, 1], with gradients.
        definition: ``released`` has the same bounds for all channels at the first layer, as the authors' code.
        biases: whether the network has its biases.
    """

    def __init__(self, images: Tensor, definition: Definition, biases: bool) -> None:
        self.definition, self.biases = definition, biases
        plain = images.detach()
        bounds = torch.zeros_like(plain), torch.ones_like(plain)
        self._known = {id(images): Known(images, bounds, not_negative=True)}

    def known(self, tensor: Tensor) -> Known:
        """Return what is known about a tensor; nothing, if it was never noted."""
        entry = self._known.get(id(tensor))
        return entry if entry is not None and entry.tensor is tensor else Known(tensor)

    def note(self, tensor: Tensor, **facts: Any) -> Tensor:
        """Note facts about a tensor, and return it."""
        self._known[id(tensor)] = Known(tensor, **facts)
        return tensor

    def through(
        self, function: Call, args: Any, kwargs: Any, inputs: Tensor, outputs: Tensor, **facts: Any
    ) -> Tensor:
        """Note that ``outputs`` are those of an operation without weights, which moves the bounds of images too."""
        bounds = self.known(inputs).bounds
        if bounds is not None:
            with torch.no_grad():
                low, high = (
                    function(*replaced(args, inputs, b), **replaced(kwargs, inputs, b)) for b in bounds
                )
            facts["bounds"] = (low, high)
        return self.note(outputs, **facts)

    def handed_on(self, function: Call, args: Any, kwargs: Any, inputs: Tensor, **facts: Any) -> Tensor:
        """Compute an operation through which the relevance of one input passes unchanged."""
        in_place = function.__name__.endswith("_") or kwargs.get("inplace") or any(a is True for a in args)
        with torch.no_grad():
            own = inputs.clone() if in_place else inputs  # what the rules have stored must not change
            outputs = function(*replaced(args, inputs, own), **replaced(kwargs, inputs, own))
        return self.through(function, args, kwargs, inputs, pass_through(inputs, outputs), **facts)


def tensors(values: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and mappings."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, Mapping):
        values = values.values()
    elif not isinstance(values, tuple | list):
        return []
    return [tensor for value in values for tensor in tensors(value)]


def replaced(values: Any, old: Tensor, new: Tensor) -> Any:
    """Return nested arguments in which one tensor is replaced by another."""
    if values is old:
        return new
    if isinstance(values, Mapping):
        return {key: replaced(value, old, new) for key, value in values.items()}
    if type(values) in (tuple, list):
        return type(values)(replaced(value, old, new) for value in values)
    return values
