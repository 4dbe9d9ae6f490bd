"""The classifier in a weights file, whatever its name and form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from resemblance.encoders.checkpoint.tensor_names import COUNTER, LONGEST, below

State = dict[str, Tensor]


@dataclass
class StoredHead:
    """The classifier of a file, under the network's names.

    Args:
        tensors: weight and perhaps bias; empty if there is none that the network could use.
        names: the tensors of the file that belong to it.
        layers: the names of its layers, if there are several.
        notes: for the user.
    """

    tensors: State = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    layers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def outputs(self) -> int | None:
        """The number of its outputs; None if there is no head."""
        return next((len(value) for value in self.tensors.values() if value.ndim), None)


def stored_head(state: State, target: Mapping[str, Tensor], head: str, others: State) -> StoredHead:
    """Find the classifier among a file's tensors.

    It has the head's name, lies below it (as in ``fc = Sequential(Dropout(), Linear())``), or is the only unknown
    linear layer of the right width.

    Args:
        state: the tensors of the file, without the prefix of the network's names.
        target: the network's tensors.
        head: the path of the classifier in the network; empty for none.
        others: the tensors of the file without the prefix.

    Example:
        >>> target = {"fc.weight": torch.zeros(3, 8), "fc.bias": torch.zeros(3)}
        >>> stored_head({"fc.1.weight": torch.ones(3, 8), "fc.1.bias": torch.ones(3)}, target, "fc", {}).notes
        ['head read from fc.1']
    """
    keys = [key for key in target if below(key, head)]
    if not keys:
        return StoredHead()
    if f"{head}.weight" in state:
        names = {key for key in state if below(key, head)}
        return _complete(StoredHead({key: state[key] for key in keys if key in state}, names), target, head)
    inside = {key: value for key, value in state.items() if below(key, head)}
    width = next((target[key].shape[1] for key in keys if target[key].ndim >= 2), None)
    for tensors in (inside,) if inside else (_unknown(state, target, width), _unknown(others, target, width)):
        found = _one_layer(tensors, head)
        if found.names:
            return _complete(found, target, head)
    return StoredHead()


def _one_layer(tensors: State, head: str) -> StoredHead:
    """Return the head that consists of these tensors; with several layers, only their names."""
    layers = list(dict.fromkeys(key.rpartition(".")[0] for key in tensors if not key.endswith(COUNTER)))
    if len(layers) != 1:
        return StoredHead(names=set(tensors), layers=layers)
    [layer] = layers
    weight = tensors.get(f"{layer}.weight")
    if weight is None or weight.ndim < 2 or set(tensors) - {f"{layer}.weight", f"{layer}.bias"}:
        return StoredHead(names=set(tensors), layers=layers)
    renamed = {f"{head}.{key.rpartition('.')[2]}": value for key, value in tensors.items()}
    return StoredHead(renamed, set(tensors), [], [f"head read from {layer[:LONGEST]}"])


def _unknown(state: State, target: Mapping[str, Tensor], width: int | None) -> State:
    """Return the tensors of the only unknown part that reads embeddings of this width; empty if there are several.

    A part is one layer, or all numbered layers of one Sequential.
    """
    parts: dict[str, State] = {}
    for key, value in state.items():
        if key not in target and not key.endswith(COUNTER):
            layer = key.rpartition(".")[0]
            above, _, last = layer.rpartition(".")
            parts.setdefault(above if last.isdigit() else layer, {})[key] = value
    fitting = [
        tensors
        for tensors in parts.values()
        if next((value.shape[1] for value in tensors.values() if value.ndim == 2), None) == width
    ]
    return fitting[0] if len(fitting) == 1 else {}


def _complete(found: StoredHead, target: Mapping[str, Tensor], head: str) -> StoredHead:
    """Bring the tensors into the network's form: with a bias, as a convolution, or with two outputs instead of one."""
    weight, bias = f"{head}.weight", f"{head}.bias"
    if weight not in found.tensors or weight not in target:
        return found
    expected = target[weight]
    tensor = found.tensors[weight]
    if tensor.ndim != expected.ndim and tensor.numel() == len(tensor) * expected[0].numel():
        found.tensors[weight] = tensor = tensor.reshape(len(tensor), *expected.shape[1:])
    if bias in target and bias not in found.tensors:
        found.tensors[bias] = torch.zeros(len(tensor))
        found.notes.append("its head has no bias")
    if len(tensor) == 1 and len(expected) == 2:
        found.tensors = {key: torch.cat([value * 0, value]) for key, value in found.tensors.items()}
        found.notes.append(ONE_OUTPUT)
    return found


ONE_OUTPUT = "its one output z is read as the logits (0, z)"
