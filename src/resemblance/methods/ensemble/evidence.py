"""Concatenate the evidence of several models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.core.output import Evidence, Paths


def shifted(paths: Paths | None, first: int, device: torch.device) -> Paths | None:
    """Return the paths with ``first`` added to the numbers of their prototypes."""
    if paths is None:
        return None
    numbers = torch.where(paths.prototypes >= 0, paths.prototypes + first, -1)
    return Paths(numbers.to(device), paths.present.to(device))


def joined(parts: Sequence[Evidence], bias: Tensor) -> Evidence:
    """Concatenate the evidence of several models; if some reasons are paths, the others become paths without steps."""
    weights = [part.weights for part in parts]
    similarities = [part.similarities for part in parts]
    known = [weight for weight in weights if weight is not None]
    return Evidence(
        torch.cat([part.contributions for part in parts], dim=1),
        bias,
        torch.cat([part.prototypes for part in parts]),
        torch.cat(known, dim=1) if len(known) == len(parts) else None,
        torch.cat([part for part in similarities if part is not None], dim=1),
        _joined_paths(parts),
    )


def _joined_paths(parts: Sequence[Evidence]) -> Paths | None:
    longest = max((part.paths.prototypes.shape[1] for part in parts if part.paths is not None), default=0)
    if longest == 0:
        return None
    prototypes, present = [], []
    for part in parts:
        count = len(part.prototypes)
        steps = part.paths.prototypes if part.paths else part.prototypes.new_full((count, 0), -1)
        presence = part.paths.present if part.paths else steps.bool()
        prototypes.append(F.pad(steps, (0, longest - steps.shape[1]), value=-1))
        present.append(F.pad(presence, (0, longest - presence.shape[1])))
    return Paths(torch.cat(prototypes), torch.cat(present))
