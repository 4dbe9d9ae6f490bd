"""Load weights files into networks, with any prefix or head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.config.files.named_files import SEPARATOR, split_entry
from resemblance.encoders.checkpoint.stored_head import StoredHead, stored_head
from resemblance.encoders.checkpoint.tensor_names import (
    COUNTER,
    LONGEST,
    below,
    in_order,
    prefixes,
    without_wrappers,
)
from resemblance.encoders.checkpoint.two_branches import NOTE, conventional_branch
from resemblance.encoders.checkpoint.weight_sets import AVERAGED, WRAPPERS, State, WeightSet
from resemblance.encoders.surgery import grey_weight
from resemblance.encoders.weights import read_sets

RENAMED = "names differ"  # in the note about weights that were matched by their order
OWN_NETWORK = "hand over the network itself, as package.module:function"


@dataclass(frozen=True)
class Loaded:
    """The result of loading a weights file.

    Attributes:
        note: a message about the file and what was done with it.
        head: whether the classifier's weights were loaded from it.
        entries: the entries of the file that fit the network, the loaded one first; empty if there is only one.
    """

    note: str
    head: bool
    entries: tuple[str, ...] = ()


class SeveralWeights(UserError):
    """A file contains several networks, and nothing says which one to take.

    Args:
        message: the message for the user.
        entries: their names.
    """

    def __init__(self, message: str, entries: tuple[str, ...]) -> None:
        super().__init__(message)
        self.entries = entries


@dataclass
class _Fitted:
    """One set of weights under the network's names."""

    entry: str
    body: State
    head: StoredHead
    notes: list[str] = field(default_factory=list)


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
    ``classifier`` beside a ``backbone``) is identified by its shape. Of averaged weights beside others, the averaged
    ones are loaded.

    Args:
        network: the network.
        path: the file, or ``FILE::ENTRY``.
        name: the encoder's name, for messages.
        head: the path of the classifier in the network, for instance ``fc``; empty for none.
        needs_head: whether the classifier will be used.
        convert: renames the tensors of an original release; used where the names do not fit.

    Raises:
        UserError: if the file cannot be read or does not fit, or contains several networks that do.
    """
    file, entry = split_entry(path)
    target = network.state_dict()
    fitted = _fitting_sets(network, _chosen(read_sets(file), entry, file), file, name, head, convert)
    fitted.sort(
        key=lambda one: (bool(_not_finite(one.body)), not set(AVERAGED).intersection(one.entry.split(".")))
    )
    taken, others = fitted[0], fitted[1:]
    entries = tuple(one.entry for one in fitted)
    if others:
        listed = " or ".join(f"{file}{SEPARATOR}{one}" for one in entries[:4])
        if taken.entry.rpartition(".")[2] not in WRAPPERS:
            raise SeveralWeights(
                f"weights file '{file}' contains several networks of this shape; give one of them: --weights {listed}",
                entries,
            )
        taken.notes.append(f"{taken.entry} is taken, one of {len(fitted)} sets of weights in it ({listed})")
    stored = taken.head
    fits = bool(stored.tensors) and all(
        key in stored.tensors and stored.tensors[key].shape == value.shape
        for key, value in target.items()
        if below(key, head)
    )
    if needs_head and not fits:
        taken.notes.append(f"{_missing_head(stored)}, the head is new")
    chosen = taken.body | (stored.tensors if fits else {})
    broken = _not_finite(chosen)
    if broken:
        raise UserError(f"weights file '{file}' contains infinite or undefined numbers (in {broken})")
    kinds = {
        str(value.dtype).removeprefix("torch.") for value in chosen.values() if value.is_floating_point()
    }
    if kinds & {"float16", "bfloat16"}:
        taken.notes.append(f"brought from {' and '.join(sorted(kinds - {'float32'}))} to float32")
    network.load_state_dict(chosen, strict=False)
    notes = [*taken.notes, *(stored.notes if fits else ())]
    return Loaded("; ".join([f"weights from {file.name}", *notes]), fits, entries if others else ())


def _not_finite(tensors: State) -> str:
    """Return the name of the first tensor with infinite or NaN values; empty if there is none."""
    return next((key for key, value in tensors.items() if not torch.isfinite(value.float()).all()), "")


def _missing_head(stored: StoredHead) -> str:
    if len(stored.layers) > 1:
        listed = ", ".join(layer[:LONGEST] for layer in stored.layers[:5])
        return f"its head has several layers ({listed}), where the encoder has one"
    if stored.outputs is None:
        return "it has no head"
    return f"its head ({stored.outputs} classes) was not loaded"


def _chosen(sets: list[WeightSet], entry: str, file: Path) -> list[WeightSet]:
    """Return the sets of the entry that the user names: a key of the file, or a prefix of names in it."""
    if not entry:
        return sets
    for one in sets:
        if one.entry == entry:
            return [one]
        inside = entry.removeprefix(f"{one.entry}.") if one.entry else entry
        for prefix in (f"{inside}.", f"{entry}."):
            chosen = {
                key[len(prefix) :]: value for key, value in one.tensors.items() if key.startswith(prefix)
            }
            if chosen:
                return [WeightSet(entry, chosen)]
    known = ", ".join(one.entry for one in sets if one.entry) or "no entries"
    raise UserError(f"weights file '{file}' has no entry {entry!r} with tensors; it has {known}")


def _fitting_sets(
    network: nn.Module,
    sets: list[WeightSet],
    file: Path,
    name: str,
    head: str,
    convert: Callable[[State, nn.Module], State] | None,
) -> list[_Fitted]:
    """Return all sets of weights that fit the network.

    Raises:
        UserError: if there is none, with the reason for the first one.
    """
    target = network.state_dict()
    fitted: list[_Fitted] = []
    problems: list[str] = []
    for weights in sets:
        found: list[_Fitted] = []
        branch = conventional_branch(weights.tensors, target)
        variants = without_wrappers(weights.tensors if branch is None else branch, target)
        for stored in variants:
            several = [] if found else prefixes(stored, target)
            for prefix in several:
                one = _by_name(stored, prefix, network, head, convert)
                if isinstance(one, str):
                    problems.append(one)
                    continue
                parts = (weights.entry, prefix.rstrip(".")) if len(several) > 1 else (weights.entry,)
                one.entry = ".".join(part for part in parts if part)
                found.append(one)
        ordered = None if found else in_order(variants[-1], target, head)
        if ordered is not None:
            notes = [_renaming(variants[-1], target), *_fit_first_convolution(ordered, target, network)]
            found.append(_of(ordered, {}, target, head, notes, weights.entry))
        if branch is not None:
            for one in found:
                one.notes.append(NOTE)
        fitted += found
    if not fitted:
        raise UserError(
            f"weights file '{file}' does not fit encoder {name}: {problems[0]}; "
            f"{_other_stem(sets[0].tensors, network) or 'check that --encoder is the network that it was saved from'}"
        )
    return fitted


def _other_stem(stored: State, network: nn.Module) -> str:
    """Return the option of the stem, if that of the file is the other one of a ResNet."""
    expected = network.state_dict().get("conv1.weight")
    kernels = [
        value.shape[2] for key, value in stored.items() if key.endswith("conv1.weight") and value.ndim == 4
    ]
    if expected is None or expected.ndim != 4 or not kernels:
        return ""
    return {(7, 3): "give --stem standard", (3, 7): "give --stem small"}.get(
        (kernels[0], expected.shape[2]), ""
    )


def _by_name(
    stored: State,
    prefix: str,
    network: nn.Module,
    head: str,
    convert: Callable[[State, nn.Module], State] | None,
) -> _Fitted | str:
    """Return the tensors under a prefix, if their names are the network's, or are after ``convert``; else why not."""
    target = network.state_dict()
    state = {key[len(prefix) :]: value for key, value in stored.items() if key.startswith(prefix)}
    others = {key: value for key, value in stored.items() if not key.startswith(prefix)}
    if convert is not None and _problems(state, target, head):
        converted = convert(state, network)
        if not _problems(converted, target, head):
            state = converted
    notes = _fit_first_convolution(state, target, network)
    return _problems(state, target, head) or _of(state, others, target, head, notes, "")


def _of(
    state: State, others: State, target: Mapping[str, Tensor], head: str, notes: list[str], entry: str
) -> _Fitted:
    body = {key: value for key, value in state.items() if key in target and not below(key, head)}
    return _Fitted(entry, body, stored_head(state, target, head, others), notes)


def _renaming(stored: State, target: Mapping[str, Tensor]) -> str:
    first, key = next(iter(stored))[:LONGEST], next(iter(target))
    return (
        f"{RENAMED}: tensors are taken in their order, which fits in all shapes ({first} as {key}, ...); "
        "check the accuracy"
    )


def _problems(state: State, target: Mapping[str, Tensor], head: str) -> str:
    """Describe briefly why a file does not fit; empty if it fits."""
    body = {key: value for key, value in target.items() if not below(key, head)}
    of_head = stored_head(state, target, head, {}).names
    missing = [key for key in body if key not in state and not key.endswith(COUNTER)]
    foreign = [key for key in state if key not in target and not below(key, head) and key not in of_head]
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
