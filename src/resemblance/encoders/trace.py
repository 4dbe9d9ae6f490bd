"""Finding, in a network that nobody described to us, the classifier and the layer that gives the map."""

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
    """One layer's run: its path, its first input and its output."""

    path: str
    module: nn.Module
    read: Tensor
    gave: Tensor


def trace(network: nn.Module, images: Tensor) -> tuple[list[Call], Tensor]:
    """Run a network in evaluation mode; returns its layers in the order they ended, and its output."""
    calls: list[Call] = []
    names = {module: path for path, module in network.named_modules()}

    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            calls.append(Call(names[module], module, args[0], output))

    hooks = [module.register_forward_hook(note) for module in names if module is not network]
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
    """The last linear layer, if its result is what the network gives; None for one that ends in a map.

    A softmax behind it is allowed: the order of the classes stays, and the logits are taken.

    Raises:
        UserError: if what follows the last linear layer changes the answer, or there is none.
    """
    if output.ndim in (3, 4):
        return None
    linear = [call for call in calls if isinstance(call.module, nn.Linear) and call.gave.ndim == 2]
    if not linear:
        raise UserError(
            f"{name} has no final nn.Linear that gives the classes; end it with one, or leave it out"
        )
    last = linear[-1]
    for expected in (last.gave, last.gave.softmax(-1), last.gave.log_softmax(-1)):
        if expected.shape == output.shape and torch.allclose(expected, output, rtol=1e-4, atol=1e-5):
            return last
    raise UserError(
        f"{name} changes what its last linear layer, {last.path}, gives before it answers; "
        "its answer must be that layer's (a softmax may follow)"
    )


def find_cut(
    network: nn.Module, calls: list[Call], classifier: Call | None, size: tuple[int, int], name: str
) -> str:
    """The last layer whose output is a map of several cells, or tokens on a grid; the outermost of equals.

    Layers behind the pooling may have maps of one cell too, and on small images so has the right one:
    then a larger image decides, so that the cut does not depend on the image's size.

    Raises:
        UserError: if there is none.
    """
    maps = _maps(calls, classifier)
    cells = [call for call in maps if _has_cells(call.gave, size)]
    if maps and (not cells or maps[-1].path != cells[-1].path):
        first = calls[0].read
        size = (size[0] * 4, size[1] * 4)
        try:
            again, _ = trace(network, torch.zeros(2, first.shape[1], *size).to(first))
        except (RuntimeError, ValueError, AssertionError, TypeError):
            again = []
        end = next((call for call in again if classifier and call.path == classifier.path), None)
        cells = [call for call in _maps(again, end) if _has_cells(call.gave, size)] or cells
    cells = cells or maps
    if not cells:
        raise UserError(f"{name} has no layer with a map (B, D, h, w) or tokens (B, N, D); give --cut")
    return cells[-1].path


def _maps(calls: list[Call], classifier: Call | None) -> list[Call]:
    before = calls[: calls.index(classifier)] if classifier else calls
    return [call for call in before if call.gave.ndim in (3, 4) and not isinstance(call.module, NO_MAP)]


def _has_cells(tensor: Tensor, size: tuple[int, int]) -> bool:
    if tensor.ndim == 4:
        return tensor.shape[2] * tensor.shape[3] > 1
    try:
        return tensor.shape[1] - find_prefix(tensor.shape[1], size) > 1
    except ValueError:
        return False


def check_cut(network: nn.Module, cut: str, name: str) -> None:
    """Make sure that a layer exists.

    Raises:
        UserError: if not, with the names that come close.
    """
    paths = [path for path, _ in network.named_modules() if path]
    if cut not in paths:
        near = difflib.get_close_matches(cut, paths, n=3, cutoff=0.5) or paths[:5]
        raise UserError(f"{name} has no layer named {cut!r} to cut at; it has {', '.join(near)}, ...")
