"""Weights of a network that ends in two branches: BBN, trained on iNaturalist, from which ProtoTree starts on birds."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

State = dict[str, Tensor]
CONVENTIONAL, REBALANCING = "cb_block", "rb_block"
LAST_STAGE = "layer4"
NOTE = "of its two branches the conventional one is taken as the last block, and the classifier of both is left out"


def conventional_branch(stored: State, target: Mapping[str, Tensor]) -> State | None:
    """Return the weights of a ResNet from those of BBN, whose last block exists twice.

    Zhou et al. 2020 (CVPR) train ``cb_block`` on images as they come and ``rb_block`` on rare classes, and classify by
    both. ProtoTree, ProtoPool and PIP-Net use the network with the first of them as the last block of ``layer4``.

    Args:
        stored: the tensors of the file, with any prefix before their names.
        target: those of the network.

    Returns:
        None if the file has no such branches, or the network has them itself.

    Example:
        >>> import torch
        >>> one = torch.ones(1)
        >>> names = "layer4.0.bias", "layer4.1.bias", "cb_block.bias", "rb_block.bias"
        >>> list(conventional_branch({f"module.backbone.{name}": one for name in names}, {}))
        ['module.backbone.layer4.0.bias', 'module.backbone.layer4.1.bias', 'module.backbone.layer4.2.bias']
    """
    prefixes = {
        kind: {key.partition(f"{kind}.")[0] for key in stored if f".{kind}." in f".{key}"}
        for kind in (CONVENTIONAL, REBALANCING)
    }
    in_network = any(CONVENTIONAL in key.split(".") for key in target)
    if in_network or len(prefixes[CONVENTIONAL]) != 1 or prefixes[CONVENTIONAL] != prefixes[REBALANCING]:
        return None
    [prefix] = prefixes[CONVENTIONAL]
    stage = f"{prefix}{LAST_STAGE}."
    numbers = [key[len(stage) :].partition(".")[0] for key in stored if key.startswith(stage)]
    block = 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)
    state = {}
    for key, value in stored.items():
        if key.startswith(prefix) and not key.startswith(f"{prefix}{REBALANCING}."):
            inner = key[len(prefix) :]
            if inner.startswith(f"{CONVENTIONAL}."):
                inner = f"{LAST_STAGE}.{block}.{inner.partition('.')[2]}"
            state[prefix + inner] = value
    return state
