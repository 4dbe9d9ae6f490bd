"""Find the classifier and the layer of the map in an unknown network."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.encoders.grid import find_prefix
from resemblance.encoders.probe import evaluating
from resemblance.encoders.user.linear_calls import LinearCall, LinearCalls, layer_of
from resemblance.encoders.user.returned import Relation, described, relation, returned_tensors

NO_MAP = (
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.MaxPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.Flatten,
)


@dataclass(frozen=True, eq=False)
class Call:
    """The call of one layer: its path, its first input and its output."""

    path: str
    module: nn.Module
    input: Tensor
    output: Tensor


@dataclass(frozen=True, eq=False)
class Trace:
    """One pass of a network.

    Args:
        calls: of its layers, in the order in which they end.
        linear: its linear computations, in order.
        result: what it returns.
    """

    calls: list[Call]
    linear: list[LinearCall]
    result: Any


@dataclass(frozen=True, eq=False)
class FoundHead:
    """The last linear computation of a network, whose output it returns.

    Args:
        path: of the layer; empty if it is a function.
        call: the computation.
        relation: how what is returned follows from its output.
        notes: for the user.
    """

    path: str
    call: LinearCall
    relation: Relation
    notes: tuple[str, ...] = ()


def trace(network: nn.Module, images: Tensor) -> Trace:
    """Run a network in evaluation mode, and record the calls of its layers and what it computes linearly."""
    calls: list[Call] = []
    names = {module: path for path, module in network.named_modules()}

    def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            calls.append(Call(names[module], module, args[0], output))

    hooks = [module.register_forward_hook(record) for module in names if module is not network]
    try:
        with evaluating(network), torch.no_grad(), LinearCalls(layers=calls) as linear:
            result = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return Trace(calls, linear.calls, result)


def find_classifier(
    network: nn.Module, traced: Trace, name: str, num_classes: int | None = None
) -> FoundHead | None:
    """Return the last linear computation whose output the network returns; None for a network that ends in a map.

    All tensors that it returns are considered. A softmax or sigmoid, a positive scale and a constant shift may follow:
    they keep the order of the classes.

    Args:
        network: the network, for the path of the layer.
        traced: a pass of at least three images.
        name: its name, for messages.
        num_classes: of several outputs, one for as many classes is preferred; one output is enough for two classes.

    Raises:
        UserError: if there is none, or the output is not finite.
    """
    returned = returned_tensors(traced.result)
    if not returned:
        raise UserError(f"{name} returns {described(traced.result)}; a tensor of logits was expected")
    flat = [
        (place, tensor)
        for place, tensor in returned
        if tensor.ndim <= 2 or tensor[0].numel() == max(tensor.shape[1:])
    ]
    last = traced.linear[-1] if traced.linear else None
    known = not returned[0][1].is_meta  # tensors of the meta device have shapes, but no values
    if known and not all(bool(tensor.isfinite().all()) for _, tensor in flat):
        raise UserError(f"{name} has outputs that are infinite or NaN; check its weights")
    found: list[tuple[str, FoundHead]] = []
    for call in reversed(traced.linear):
        for place, tensor in flat:
            follows = relation(call.output, tensor) if known else _same_shape(call.output, tensor)
            if follows is not None:
                found.append((place, FoundHead(layer_of(network, call), call, follows)))
                break
    if found:
        wanted = (num_classes,) if num_classes != 2 else (2, 1)
        fitting = [one for one in found if one[1].call.output.shape[1] in wanted] or found[:1]
        order = [place for place, _ in flat]
        place, head = min(fitting, key=lambda one: order.index(one[0]))
        return replace(head, notes=tuple(_notes(name, place, head, len({one[0] for one in fitting}))))
    if not flat or all(tensor.ndim > 2 for _, tensor in returned):
        return None
    if last is None:
        raise UserError(
            f"{name} does not end in an nn.Linear for the classes; add one, or use another network"
        )
    layer = layer_of(network, last) or "a function"
    width = last.output.shape[1]
    if any(tensor.numel() == last.output.numel() for _, tensor in flat):
        raise UserError(
            f"{name} changes the output of its last linear layer, {layer}; the network must return that output (a "
            "softmax, a sigmoid or a positive scale may follow)"
        )
    raise UserError(
        f"{name} returns {described(traced.result)}, none of which is the output of its last linear layer, {layer} "
        f"({width} values per image); return that output"
    )


def _same_shape(output: Tensor, returned: Tensor) -> Relation | None:
    """Assume, without values, that a tensor of the right size is the output."""
    same = output.numel() == returned.numel() or (output.shape[1] == 1 and returned.shape[1:] == (2,))
    return Relation(1.0, torch.zeros(output.shape[1], device="cpu")) if same else None


def _notes(name: str, place: str, head: FoundHead, several: int) -> Iterator[str]:
    if several > 1:
        yield f"of its {several} outputs of this size, {place} is used"
    elif place and "logits" not in place and place != "[0]":
        yield f"its logits are {place} of what it returns"
    if not head.path:
        yield "its classifier is a function, whose weights are copied"
    if not head.relation.plain:
        scale, shifted = head.relation.scale, bool(head.relation.shift.any())
        parts = [f"scale of {scale:.4g}"] if scale != 1 else []
        parts += ["shift"] if shifted else []
        yield f"the {' and the '.join(parts)} of its logits is taken into the classifier"


def find_cut(
    network: nn.Module, traced: Trace, head: FoundHead | None, size: tuple[int, int], name: str
) -> str:
    """Return the last layer whose output is a map of several cells, or tokens on a grid; of equal ones the outermost.

    Layers after the pooling may have maps of one cell, too, and on small images so has the right one: then a larger
    image decides, so that the cut does not depend on the image's size.

    Raises:
        UserError: if there is none.
    """
    calls = traced.calls
    maps = _maps(traced, head)
    cells = [call for call in maps if _has_cells(call.output, size)]
    if maps and (not cells or maps[-1].path != cells[-1].path):
        first = calls[0].input
        size = (size[0] * 4, size[1] * 4)
        try:
            larger = trace(network, torch.zeros(2, first.shape[1], *size).to(first))
        except (RuntimeError, ValueError, AssertionError, TypeError):
            larger = Trace([], [], None)
        cells = [call for call in _maps(larger, head) if _has_cells(call.output, size)] or cells
    cells = cells or maps
    if not cells:
        raise UserError(
            f"{name} has no layer with a map (B, D, h, w) or tokens (B, N, D); choose one by --cut"
        )
    return cells[-1].path


def _maps(traced: Trace, head: FoundHead | None) -> list[Call]:
    """Return the calls before the classifier that return maps or tokens."""
    end = None if head is None else next((c for c in traced.linear if c.number == head.call.number), None)
    before = traced.calls if end is None else traced.calls[: end.before]
    return [call for call in before if call.output.ndim in (3, 4) and not isinstance(call.module, NO_MAP)]


def _has_cells(tensor: Tensor, size: tuple[int, int]) -> bool:
    if tensor.ndim == 4:
        return tensor.shape[2] * tensor.shape[3] > 1
    try:
        return tensor.shape[1] - find_prefix(tensor.shape[1], size) > 1
    except ValueError:
        return False


def check_cut(network: nn.Module, cut: str, name: str) -> None:
    """Check that a layer exists.

    Raises:
        UserError: if not; the message suggests similar names.
    """
    paths = [path for path, _ in network.named_modules() if path]
    if cut not in paths:
        near = difflib.get_close_matches(cut, paths, n=3, cutoff=0.5) or paths[:5]
        raise UserError(f"{name} has no layer named {cut!r}; it has {', '.join(near)}, ...")
