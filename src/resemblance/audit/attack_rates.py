"""Rates of success as values of a finding, with interval and the same rate under noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from resemblance.audit.audit_check import Record
from resemblance.audit.finding import Verdict
from resemblance.metrics.suite.measurements.measures_of_prediction import share_interval
from resemblance.metrics.suite.result import Better, Value

# Rates up to the first are passed, above the second failed. In Hoffmann et al. 2021, plain models have 93.0 and 99.5 %,
# adversarially trained ones 27.0 and 34.0 %, of which they say that the problem is not solved.
PASSED, FAILED = 0.1, 0.5


def joined(records: Sequence[Record], name: str) -> Tensor:
    """Return what all parts recorded under a name, one row per image."""
    rows: list[Tensor] = [record[name] for record in records]
    return torch.cat(rows) if rows else torch.zeros(0)


def rate(
    name: str,
    title: str,
    hits: Tensor,
    says: str,
    good: str,
    *,
    better: Better | None = "lower",
    baseline: Tensor | None = None,
    baseline_of: str = "",
    of: str = "images",
    left_out: Mapping[str, int] | None = None,
) -> Value:
    """Return the share of cases (N,) bool in which something happened; NaN without cases.

    Args:
        name: the value's name.
        title: its name in tables.
        hits: (N,) bool.
        says: one sentence, with ``{hits}`` and ``{count}``.
        good: one sentence about what a good value is.
        better: the direction of better values.
        baseline: (N,) bool, the same for the trivial answer.
        baseline_of: the trivial answer.
        of: what is counted, in the plural.
        left_out: the number of cases that were left out, by reason.

    Example:
        >>> rate("moved", "moved", torch.tensor([True, False]), "{hits} of {count} moved.", "0.").says
        '1 of 2 moved.'
    """
    count = len(hits)
    share = float(hits.double().mean()) if count else float("nan")
    return Value(
        name,
        title,
        share,
        better,
        says.format(hits=int(hits.sum()), count=count),
        good,
        baseline=None if baseline is None or not len(baseline) else float(baseline.double().mean()),
        baseline_of=baseline_of,
        interval=share_interval(share, count),
        count=count,
        of=of,
        left_out=left_out or {},
        share=True,
    )


def sentence_of(main: Value, sentence: str) -> str:
    """Return the sentence about a rate, or where there is none, why nothing could be attacked.

    Example:
        >>> nothing = rate("moved", "moved", torch.zeros(0), "", "", left_out={"images without a place": 3})
        >>> sentence_of(nothing, "")
        'Nothing could be attacked: 3 images without a place.'
    """
    if main.defined:
        return sentence
    reasons = [f"{number} {reason}" for reason, number in main.left_out.items() if number]
    return f"Nothing could be attacked: {'; '.join(reasons) or 'no image'}."


def verdict_of(share: float, *, passed: float = PASSED, failed: float = FAILED) -> Verdict:
    """Return the verdict on a share that should be small; ``information`` if it is not defined.

    Example:
        >>> verdict_of(0.04), verdict_of(0.3), verdict_of(0.9), verdict_of(float("nan"))
        ('passed', 'doubtful', 'failed', 'information')
    """
    if share != share:
        return "information"
    return "passed" if share <= passed else "failed" if share > failed else "doubtful"


def percent(share: float | None) -> str:
    """Return a share in per cent; a dash where it is not defined.

    Example:
        >>> percent(0.123), percent(None)
        ('12 %', '–')
    """
    return "–" if share is None or share != share else f"{100 * share:.0f} %"
