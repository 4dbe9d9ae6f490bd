"""Fitting the tensors of a weights file to a network, whatever prefix or head it has."""

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


@dataclass(frozen=True)
class Loaded:
    """What came of a weights file.

    Attributes:
        note: a line for people: the file and what was done with it.
        head: whether the classifier's weights came from it.
    """

    note: str
    head: bool


def load_weights(
    network: nn.Module,
    path: str | Path,
    name: str,
    head: str,
    wants_head: bool,
    convert: Callable[[State, nn.Module], State] | None = None,
) -> Loaded:
    """Load a weights file into a network, whatever prefix its names carry.

    Every tensor of the network but the head's must be in the file with its shape, and the file may hold
    no others under the same prefix. A head of another size is left out, which the note says; one under
    another name (Lightning's ``classifier`` beside a ``backbone``) is found by its shape.

    Args:
        network: what to load into.
        path: the file.
        name: the encoder, for messages.
        head: the path of the classifier in the network, such as ``fc``; empty for none.
        wants_head: whether the classifier will be used.
        convert: renames the tensors of an original release, tried where the plain names do not fit.

    Raises:
        UserError: if the file cannot be read or does not fit.
    """
    stored = read_weights(path)
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
    head_keys = [key for key in target if _below(key, head)]
    found = {key: state[key] for key in head_keys if key in state}
    if not found:
        found = _head_elsewhere(state, others, target, head_keys, notes)
    fits = bool(head_keys) and all(
        key in found and found[key].shape == target[key].shape for key in head_keys
    )
    if wants_head and not fits:
        theirs = next((len(value) for value in found.values() if value.ndim), None)
        fate = "no head in it" if theirs is None else f"its head ({theirs} classes) left out"
        notes.append(f"{fate}, a new one started")
    chosen = {key: value for key, value in state.items() if key in target and not _below(key, head)}
    if fits:
        chosen |= found
    broken = next((key for key, value in chosen.items() if not torch.isfinite(value.float()).all()), None)
    if broken is not None:
        raise UserError(f"weights file '{path}' holds infinite or undefined numbers (in {broken})")
    network.load_state_dict(chosen, strict=False)
    return Loaded("; ".join([f"weights from {Path(path).name}", *notes]), fits)


def _strip_prefix(stored: State, target: Mapping[str, Tensor], path: str | Path) -> tuple[State, State]:
    """The tensors under the prefix that most of the network's names are found under, and the others."""
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
            f"weights file '{path}' holds several networks of this shape (under "
            f"{', '.join(repr(prefix) for prefix in winners[:4])}); save the one to be used alone"
        )
    prefix = winners[0]
    inside = {key[len(prefix) :]: value for key, value in stored.items() if key.startswith(prefix)}
    return inside, {key: value for key, value in stored.items() if not key.startswith(prefix)}


def _common_prefix(stored: State) -> str:
    """Usual wrappers around all names, for a file whose names will be converted."""
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
    """What keeps a file from fitting, in a few words; empty if nothing does."""
    body = {key: value for key, value in target.items() if not _below(key, head)}
    spare = _spare_head(state, target, head)
    missing = [key for key in body if key not in state and not key.endswith(COUNTER)]
    foreign = [key for key in state if key not in target and not _below(key, head) and key not in spare]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in body.items()
        if key in state and state[key].shape != value.shape
    ]
    parts = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", foreign), ("of another shape", shapes))
        if keys
    ]
    return ", ".join(parts)


def _spare_head(state: State, target: Mapping[str, Tensor], head: str) -> set[str]:
    """A linear layer that the network does not know and that could be its classifier under another name."""
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


def _head_elsewhere(
    state: State, others: State, target: Mapping[str, Tensor], head_keys: list[str], notes: list[str]
) -> State:
    if not head_keys:
        return {}
    head = head_keys[0].rpartition(".")[0]
    for place in (state, others):
        spare = _spare_head(place, target, head)
        found = {f"{head}.{key.rpartition('.')[2]}": place[key] for key in spare}
        if found:
            notes.append(f"head read from {sorted(spare)[0].rpartition('.')[0]}")
            return found
    return {}


def _fit_first_convolution(state: State, target: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """Fit a first convolution for RGB to grey images by summing its channels, in place."""
    first = next((name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)), None)
    key = f"{first}.weight"
    if key not in target or key not in state:
        return []
    theirs, ours = state[key], target[key]
    if theirs.ndim != 4 or theirs.shape[2:] != ours.shape[2:] or (theirs.shape[1], ours.shape[1]) != (3, 1):
        return []
    state[key] = grey_weight(theirs)
    return ["first convolution summed over RGB for grey images"]
