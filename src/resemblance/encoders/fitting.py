"""Load weights files into networks, with any prefix or head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.encoders.surgery import grey_weight
from resemblance.encoders.weights import State, read_weights

COUNTER = "num_batches_tracked"
RENAMED = "names differ"  # in the note about weights that were matched by their order
LONGEST = 200  # characters of a tensor's name, or of a shape, in messages


@dataclass(frozen=True)
class Loaded:
    """The result of loading a weights file.

    Attributes:
        note: a message about the file and what was done with it.
        head: whether the classifier's weights were loaded from it.
    """

    note: str
    head: bool


def load_weights(
    network: nn.Module,
    path: str | Path,
    name: str,
    head: str,
    needs_head: bool,
    convert: Callable[[State, nn.Module], State] | None = None,
) -> Loaded:
    """Load a weights file into a network, with any prefix before its tensor names.

    The file must contain every tensor of the network except the head's, with the same shape, and no others with the
    same prefix. A head of another size is not loaded, which the note says; a head with another name (Lightning's
    ``classifier`` beside a ``backbone``) is identified by its shape.

    Args:
        network: the network.
        path: the file.
        name: the encoder's name, for messages.
        head: the path of the classifier in the network, for instance ``fc``; empty for none.
        needs_head: whether the classifier will be used.
        convert: renames the tensors of an original release; used where the names do not fit.

    Raises:
        UserError: if the file cannot be read or does not fit.
    """
    stored = read_weights(path)
    target = network.state_dict()
    try:
        state, others, notes = _by_name(stored, network, path, name, head, convert)
    except UserError:
        ordered = in_order(stored, target, head)
        if ordered is None:
            raise
        state, others, notes = ordered, {}, [f"{RENAMED}: {_renaming(stored, target)}"]
        notes += _fit_first_convolution(state, target, network)
    head_keys = [key for key in target if _below(key, head)]
    head_state = {key: state[key] for key in head_keys if key in state}
    if not head_state:
        head_state = _head_by_shape(state, others, target, head_keys, notes)
    if list(head_state) == [f"{head}.weight"] and f"{head}.bias" in target:
        head_state[f"{head}.bias"] = torch.zeros(len(head_state[f"{head}.weight"]))
        notes.append("its head has no bias")
    fits = bool(head_keys) and all(
        key in head_state and head_state[key].shape == target[key].shape for key in head_keys
    )
    if needs_head and not fits:
        classes = next((len(value) for value in head_state.values() if value.ndim), None)
        cause = "it has no head" if classes is None else f"its head ({classes} classes) was not loaded"
        notes.append(f"{cause}, the head is new")
    chosen = {key: value for key, value in state.items() if key in target and not _below(key, head)}
    if fits:
        chosen |= head_state
    broken = next((key for key, value in chosen.items() if not torch.isfinite(value.float()).all()), None)
    if broken is not None:
        raise UserError(f"weights file '{path}' contains infinite or undefined numbers (in {broken})")
    network.load_state_dict(chosen, strict=False)
    return Loaded("; ".join([f"weights from {Path(path).name}", *notes]), fits)


def _by_name(
    stored: State,
    network: nn.Module,
    path: str | Path,
    name: str,
    head: str,
    convert: Callable[[State, nn.Module], State] | None,
) -> tuple[State, State, list[str]]:
    """Return the network's tensors, the other ones and notes, if the names fit, perhaps after a prefix."""
    target = network.state_dict()
    state, others = _strip_prefix(stored, target, path)
    if convert is not None and _problems(state, target, head):
        converted = convert(state, network)
        if not _problems(converted, target, head):
            state = converted
    notes = _fit_first_convolution(state, target, network)
    problems = _problems(state, target, head)
    if problems:
        raise UserError(
            f"weights file '{path}' does not fit encoder {name}: {problems}; "
            "check --encoder, --stem and --image-size"
        )
    return state, others, notes


def in_order(stored: State, target: Mapping[str, Tensor], head: str) -> State | None:
    """Return a file's tensors under the network's names, if they come in the same order with the same shapes.

    The last parts of the names (``weight``, ``bias``, ``running_mean``) have to be the same too, so that files with
    another order, like the alphabetical one of safetensors, do not fit. The head may have other classes, or be missing.

    Returns:
        None if they do not fit.

    Example:
        >>> in_order({"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}, nn.Linear(3, 2).state_dict(), "").keys()
        dict_keys(['weight', 'bias'])
    """
    names = [key for key in stored if not key.endswith(COUNTER)]
    everything = [key for key in target if not key.endswith(COUNTER)]
    body = [key for key in everything if not _below(key, head)]
    without_bias = [key for key in everything if key != f"{head}.bias"]
    keys = next((keys for keys in (everything, without_bias, body) if len(keys) == len(names)), None)
    if keys is None:
        return None
    for position, (name, key) in enumerate(zip(names, keys, strict=True)):
        expected, shape = tuple(target[key].shape), tuple(stored[name].shape)
        if name.rpartition(".")[2] != key.rpartition(".")[2] or len(shape) != len(expected):
            return None
        if _below(key, head):  # of other classes, perhaps
            expected, shape = expected[1:], shape[1:]
        elif position == 0 and len(shape) == 4 and expected[1] == 1 and shape[1] == 3:  # for grey images
            expected, shape = expected[2:], shape[2:]
        if shape != expected:
            return None
    return {key: stored[name] for name, key in zip(names, keys, strict=True)}


def _renaming(stored: State, target: Mapping[str, Tensor]) -> str:
    first, key = next(iter(stored))[:LONGEST], next(iter(target))
    return f"tensors are taken in their order, which fits in all shapes ({first} as {key}, ...); check the accuracy"


def _strip_prefix(stored: State, target: Mapping[str, Tensor], path: str | Path) -> tuple[State, State]:
    """Return the tensors with the prefix under which most of the network's names occur, and the others."""
    anchors = [key for key in target if not key.endswith(COUNTER)]
    anchors = anchors[:4] + anchors[len(anchors) // 2 :][:4]
    prefixes = {""}
    for anchor in anchors:
        prefixes |= {key[: -len(anchor)] for key in stored if key.endswith("." + anchor)}
    counts = {prefix: sum(prefix + key in stored for key in target) for prefix in prefixes}
    best = max(counts.values())
    winners = sorted((prefix for prefix, count in counts.items() if count == best), key=len)
    if best == 0:
        winners = [_common_prefix(stored)]
    if len(winners) > 1:
        raise UserError(
            f"weights file '{path}' contains several networks of this shape (under "
            f"{', '.join(repr(prefix) for prefix in winners[:4])}); save only the one to use"
        )
    prefix = winners[0]
    inside = {key[len(prefix) :]: value for key, value in stored.items() if key.startswith(prefix)}
    return inside, {key: value for key, value in stored.items() if not key.startswith(prefix)}


def _common_prefix(stored: State) -> str:
    """Return the usual prefix that all names share, for a file whose names will be converted."""
    prefix = ""
    while True:
        first = next(iter(stored))[len(prefix) :].partition(".")[0] + "."
        usual = first in ("module.", "model.", "backbone.", "net.", "network.", "encoder.")
        if not usual or not all(key.startswith(prefix + first) for key in stored):
            return prefix
        prefix += first


def _below(key: str, head: str) -> bool:
    return bool(head) and key.startswith(head + ".")


def _problems(state: State, target: Mapping[str, Tensor], head: str) -> str:
    """Describe briefly why a file does not fit; empty if it fits."""
    body = {key: value for key, value in target.items() if not _below(key, head)}
    renamed_head = _renamed_head(state, target, head)
    missing = [key for key in body if key not in state and not key.endswith(COUNTER)]
    foreign = [
        key for key in state if key not in target and not _below(key, head) and key not in renamed_head
    ]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in body.items()
        if key in state and state[key].shape != value.shape
    ]
    parts = [
        f"{len(keys)} {what} ({', '.join(key[:LONGEST] for key in keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", foreign), ("of another shape", shapes))
        if keys
    ]
    return ", ".join(parts)


def _renamed_head(state: State, target: Mapping[str, Tensor], head: str) -> set[str]:
    """Return the names of an unknown linear layer that could be the classifier under another name."""
    matrices = [value for key, value in target.items() if _below(key, head) and value.ndim == 2]
    width = matrices[0].shape[1] if matrices else None
    layers = [
        key.removesuffix("weight")
        for key, value in state.items()
        if key.endswith("weight") and key not in target and value.ndim == 2 and value.shape[1] == width
    ]
    if len(layers) != 1 or any(_below(key, head) for key in state):
        return set()
    return {key for key in (layers[0] + "weight", layers[0] + "bias") if key in state}


def _head_by_shape(
    state: State, others: State, target: Mapping[str, Tensor], head_keys: list[str], notes: list[str]
) -> State:
    if not head_keys:
        return {}
    head = head_keys[0].rpartition(".")[0]
    for tensors in (state, others):
        names = _renamed_head(tensors, target, head)
        if names:
            notes.append(f"head read from {sorted(names)[0].rpartition('.')[0]}")
            return {f"{head}.{name.rpartition('.')[2]}": tensors[name] for name in names}
    return {}


def _fit_first_convolution(state: State, target: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """Sum the channels of a first convolution for RGB, if the images are grey; in place."""
    first = next((name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)), None)
    key = f"{first}.weight"
    if key not in target or key not in state:
        return []
    loaded, expected = state[key], target[key]
    rgb = (expected.shape[0], 3, *expected.shape[2:])
    if expected.shape[1] != 1 or loaded.shape != rgb:
        return []
    state[key] = grey_weight(loaded)
    return ["first convolution summed over RGB for grey images"]
