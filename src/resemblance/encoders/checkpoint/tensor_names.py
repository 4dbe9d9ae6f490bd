"""Match the names of a file's tensors with those of a network: prefixes, wrappers, or their order alone."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

State = dict[str, Tensor]
COUNTER = "num_batches_tracked"
LONGEST = 200  # characters of a tensor's name, or of a shape, in messages
# Parts of a name that wrappers add: torch.compile, FSDP, activation checkpoints, DataParallel.
WRAPPING = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
DATA_PARALLEL = "module"
# How torch.nn.utils stores weight normalisation: length and direction.
NORMS = (
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
    (".weight_g", ".weight_v"),
)
USUAL = ("module.", "model.", "backbone.", "net.", "network.", "encoder.")


def below(key: str, head: str) -> bool:
    """Check whether a tensor belongs to the layer ``head``; no tensor belongs to an empty name.

    Example:
        >>> below("fc.1.weight", "fc"), below("fc2.weight", "fc")
        (True, False)
    """
    return bool(head) and key.startswith(head + ".")


def without_wrappers(stored: State, target: Mapping[str, Tensor]) -> list[State]:
    """Remove what `torch.compile`, DataParallel and similar wrappers add to names, wherever it stands in them.

    A part that the network's own names have is kept, and so are all names if two would become the same.

    Returns:
        The tensors without it; and also without ``module`` anywhere, if that is different.

    Example:
        >>> import torch
        >>> [state] = without_wrappers({"layer._orig_mod.0.weight": torch.ones(1)}, {"layer.0.weight": torch.ones(1)})
        >>> list(state)
        ['layer.0.weight']
    """
    own = {part for key in target for part in key.split(".")}
    stored = _with_norms_applied(stored, target)
    plain = _without(stored, WRAPPING - own)
    bare = _without(plain, {DATA_PARALLEL} - own)
    return [plain] if bare.keys() == plain.keys() else [plain, bare]


def _with_norms_applied(stored: State, target: Mapping[str, Tensor]) -> State:
    """Compute the weights of layers with weight normalisation, which are stored as a length and a direction."""
    state = dict(stored)
    for length, direction in NORMS:
        for key in [key for key in state if key.endswith(length) and key not in target]:
            g, other = state[key], key.removesuffix(length) + direction
            v = state.get(other)
            if v is not None and v.ndim >= 2 and g.numel() == len(v):
                norm = v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.ndim - 1))
                weight = g.reshape(norm.shape) * v / norm
                place = {other: key.removesuffix(length) + ".weight"}
                state = {
                    place.get(name, name): weight if name == other else value for name, value in state.items()
                }
                del state[key]
    return state


def _without(stored: State, added: set[str]) -> State:
    names = {key: ".".join(part for part in key.split(".") if part not in added) for key in stored}
    if len(set(names.values())) < len(names) or "" in names.values():
        return stored
    return {names[key]: value for key, value in stored.items()}


def prefixes(stored: State, target: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes under which most of the network's names occur, the shortest first.

    There are several if the file contains several networks of this shape. If no name occurs, the one is the usual
    prefix that all names share, for a file whose names will be converted.
    """
    anchors = [key for key in target if not key.endswith(COUNTER)]
    anchors = anchors[:4] + anchors[len(anchors) // 2 :][:4]
    candidates = {""}
    for anchor in anchors:
        candidates |= {key[: -len(anchor)] for key in stored if key.endswith("." + anchor)}
    counts = {prefix: sum(prefix + key in stored for key in target) for prefix in candidates}
    best = max(counts.values())
    if best == 0:
        return [_common_prefix(stored)]
    return sorted(
        (prefix for prefix, count in counts.items() if count == best), key=lambda one: (len(one), one)
    )


def _common_prefix(stored: State) -> str:
    prefix = ""
    while True:
        first = next(iter(stored))[len(prefix) :].partition(".")[0] + "."
        if first not in USUAL or not all(key.startswith(prefix + first) for key in stored):
            return prefix
        prefix += first


def in_order(stored: State, target: Mapping[str, Tensor], head: str) -> State | None:
    """Return a file's tensors under the network's names, if they come in the same order with the same shapes.

    The last parts of the names (``weight``, ``bias``, ``running_mean``) have to be the same too, so that files with
    another order, like the alphabetical one of safetensors, do not fit. The head may have other classes, or be missing.

    Returns:
        None if they do not fit.

    Example:
        >>> import torch
        >>> in_order(
        ...     {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}, torch.nn.Linear(3, 2).state_dict(), ""
        ... ).keys()
        dict_keys(['weight', 'bias'])
    """
    names = [key for key in stored if not key.endswith(COUNTER)]
    everything = [key for key in target if not key.endswith(COUNTER)]
    body = [key for key in everything if not below(key, head)]
    without_bias = [key for key in everything if key != f"{head}.bias"]
    keys = next((keys for keys in (everything, without_bias, body) if len(keys) == len(names)), None)
    if keys is None:
        return None
    for position, (name, key) in enumerate(zip(names, keys, strict=True)):
        expected, shape = tuple(target[key].shape), tuple(stored[name].shape)
        if name.rpartition(".")[2] != key.rpartition(".")[2] or len(shape) != len(expected):
            return None
        if below(key, head):  # of other classes, perhaps
            expected, shape = expected[1:], shape[1:]
        elif position == 0 and len(shape) == 4 and expected[1] == 1 and shape[1] == 3:  # for grey images
            expected, shape = expected[2:], shape[2:]
        if shape != expected:
            return None
    return {key: stored[name] for name, key in zip(names, keys, strict=True)}
