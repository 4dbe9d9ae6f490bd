"""Rates of success as numbers of a finding, each beside the rate under noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resemblance.audit.audit_check import Record
from resemblance.audit.finding import Verdict
from resemblance.metrics.suite.measurements.measures_of_prediction import share_interval
from resemblance.metrics.suite.result import Better, Value

NOISE = "uniform noise of the same size on the same pixels"
# Of Hoffmann et al. 2021, plain models have rates of 93.0 and 99.5 %, adversarially trained ones of 27.0 and 34.0 %, of
# which they say that the problem is not solved.
PASSED, FAILED = 0.1, 0.5


def joined(records: Sequence[Record], name: str) -> Tensor:
    """Return what all parts recorded under a name, one row per image."""
    rows: list[Tensor] = [record[name] for record in records]
    return torch.cat(rows) if rows else torch.zeros(0)


def share(
    name: str,
    title: str,
    hits: Tensor,
    says: str,
    good: str,
    *,
    noise: Tensor | None = None,
    of: str = "images",
    left_out: dict[str, int] | None = None,
    better: Better = "lower",
) -> Value:
    """Return the share of cases (N,) bool in which something happened, with a 95 % interval; NaN without cases.

    Args:
        name: its name in files.
        title: its name in tables.
        hits: (N,) bool.
        says: one sentence, with ``{hits}`` and ``{count}``.
        good: one sentence about what a good value is.
        noise: (N,) bool, the same under noise.
        of: what is counted.
        left_out: the number of cases that were left out, by reason.
        better: the direction of better values.

    Example:
        >>> share("moved", "moved", torch.tensor([True, False]), "{hits} of {count}.", "0.").says
        '1 of 2.'
    """
    count = len(hits)
    value = float(hits.double().mean()) if count else float("nan")
    return Value(
        name,
        title,
        value,
        better,
        says.format(hits=int(hits.sum()), count=count),
        good,
        baseline=None if noise is None or not len(noise) else float(noise.double().mean()),
        baseline_of="" if noise is None else NOISE,
        interval=share_interval(value, count),
        count=count,
        of=of,
        left_out=left_out or {},
        share=True,
    )


def verdict_of(value: float) -> Verdict:
    """Return the verdict on a rate of success.

    Example:
        >>> verdict_of(0.04), verdict_of(0.34), verdict_of(0.93), verdict_of(float("nan"))
        ('passed', 'doubtful', 'failed', 'information')
    """
    if value != value:
        return "information"
    return "passed" if value <= PASSED else "failed" if value > FAILED else "doubtful"


def percent(value: float | None) -> str:
    """Return a share in per cent; a dash where it is not defined.

    Example:
        >>> percent(0.123), percent(None)
        ('12 %', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.0f} %"
