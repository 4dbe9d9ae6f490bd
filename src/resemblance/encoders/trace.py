"""Find the classifier and the layer of the map in an unknown network."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.encoders.grid import find_prefix
from resemblance.encoders.probe import evaluating

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


def trace(network: nn.Module, images: Tensor) -> tuple[list[Call], Tensor]:
    """Run a network in evaluation mode; return the calls of its layers in order, and its output."""
    calls: list[Call] = []
    names = {module: path for path, module in network.named_modules()}

    def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            calls.append(Call(names[module], module, args[0], output))

    hooks = [module.register_forward_hook(record) for module in names if module is not network]
    try:
        with evaluating(network), torch.no_grad():
            result = network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return calls, _tensor(result, network)


def _tensor(result: Any, network: nn.Module) -> Tensor:
    if isinstance(result, Mapping):
        result = next((result[key] for key in ("logits", "out") if key in result), None)
    result = getattr(result, "logits", result)
    if isinstance(result, tuple | list) and result:
        result = result[0]
    if not isinstance(result, Tensor):
        kind = type(result).__name__
        raise UserError(f"{type(network).__name__} returns {kind}; a tensor of logits was expected")
    return result


def find_classifier(calls: list[Call], output: Tensor, name: str) -> Call | None:
    """Return the last linear layer, if its output is that of the network; None for a network that ends in a map.

    A softmax after it is allowed: it keeps the order of the classes, and the logits are used.

    Raises:
        UserError: if there is no linear layer, the layers after it change its output, or the output is not finite.
    """
    known = not output.is_meta  # tensors of the meta device have shapes, but no values
    if known and not bool(output.isfinite().all()):
        raise UserError(f"{name} has outputs that are infinite or NaN; check its weights")
    if output.ndim in (3, 4):
        return None
    linear = [call for call in calls if isinstance(call.module, nn.Linear) and call.output.ndim == 2]
    if not linear:
        raise UserError(
            f"{name} does not end in an nn.Linear for the classes; add one, or use another network"
        )
    last = linear[-1]
    for expected in (last.output, last.output.softmax(-1), last.output.log_softmax(-1)):
        if expected.shape != output.shape:
            continue
        if not known or torch.allclose(expected, output, rtol=1e-4, atol=1e-5):
            return last
    raise UserError(
        f"{name} changes the output of its last linear layer, {last.path}; "
        "the network must return that output (a softmax may follow)"
    )


def find_cut(
    network: nn.Module, calls: list[Call], classifier: Call | None, size: tuple[int, int], name: str
) -> str:
    """Return the last layer whose output is a map of several cells, or tokens on a grid; of equal ones the outermost.

    Layers after the pooling may have maps of one cell, too, and on small images so has the right one: then a larger
    image decides, so that the cut does not depend on the image's size.

    Raises:
        UserError: if there is none.
    """
    maps = _maps(calls, classifier)
    cells = [call for call in maps if _has_cells(call.output, size)]
    if maps and (not cells or maps[-1].path != cells[-1].path):
        first = calls[0].input
        size = (size[0] * 4, size[1] * 4)
        try:
            larger, _ = trace(network, torch.zeros(2, first.shape[1], *size).to(first))
        except (RuntimeError, ValueError, AssertionError, TypeError):
            larger = []
        end = next((call for call in larger if classifier and call.path == classifier.path), None)
        cells = [call for call in _maps(larger, end) if _has_cells(call.output, size)] or cells
    cells = cells or maps
    if not cells:
        raise UserError(
            f"{name} has no layer with a map (B, D, h, w) or tokens (B, N, D); choose one by --cut"
        )
    return cells[-1].path


def _maps(calls: list[Call], classifier: Call | None) -> list[Call]:
    before = calls[: calls.index(classifier)] if classifier else calls
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
