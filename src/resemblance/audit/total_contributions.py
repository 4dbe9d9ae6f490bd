"""What prototypes contribute, over all reasons that they are part of."""

from __future__ import annotations

from torch import Tensor

from resemblance.core.output import Evidence


def total_contributions(evidence: Evidence, count: int) -> Tensor:
    """Return the contribution of each prototype, (B, P): of all its reasons, or of the paths on which it is present.

    Args:
        evidence: of B images.
        count: P.
    """
    parts, paths = evidence.contributions, evidence.paths
    total = parts.new_zeros(len(parts), count)
    if paths is None:
        return total.index_add(1, evidence.prototypes.to(parts.device), parts)
    reasons, steps = (paths.present & (paths.prototypes >= 0)).to(parts.device).nonzero(as_tuple=True)
    index = paths.prototypes.to(parts.device)[reasons, steps]
    return total.index_add(1, index, parts[:, reasons])
