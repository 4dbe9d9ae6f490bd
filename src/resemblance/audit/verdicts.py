"""What the user's thresholds say about the findings of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resemblance.audit.finding import Finding
from resemblance.config.audit.thresholds import Threshold
from resemblance.config.values import near
from resemblance.metrics.suite.result import LeftOut, finite


@dataclass(frozen=True)
class Outcome:
    """What became of a threshold.

    Args:
        threshold: the threshold.
        value: the number that was measured; None if it was not.
        failed: whether the audit fails by it. A number that was not measured fails: it guards nothing.
        says: a sentence about it.
    """

    threshold: Threshold
    value: float | None
    failed: bool
    says: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "threshold": self.threshold.text,
            "check": self.threshold.check,
            "value": finite(self.value),
            "failed": self.failed,
            "says": self.says,
        }


def outcomes(
    thresholds: Sequence[Threshold], findings: Sequence[Finding], left_out: Sequence[LeftOut]
) -> tuple[Outcome, ...]:
    """Compare the numbers of an audit with thresholds.

    Example:
        >>> [outcome] = outcomes([Threshold("nonsense", ">", 0.5)], [], [LeftOut("nonsense", "no images")])
        >>> outcome.failed, outcome.says
        (True, 'nonsense > 0.5: not measured, which counts as failed: no images')
    """
    return tuple(_outcome(threshold, findings, left_out) for threshold in thresholds)


def _outcome(threshold: Threshold, findings: Sequence[Finding], left_out: Sequence[LeftOut]) -> Outcome:
    finding = next((finding for finding in findings if finding.check == threshold.check), None)
    value = None if finding is None else finding.value(threshold.name)
    if value is None:
        reason = _not_measured(threshold, finding, left_out)
        return Outcome(
            threshold, None, True, f"{threshold.text}: not measured, which counts as failed: {reason}"
        )
    if not value.defined:
        return Outcome(
            threshold, None, True, f"{threshold.text}: not defined for this model, which counts as failed"
        )
    failed = threshold.crossed(value.value)
    return Outcome(
        threshold,
        value.value,
        failed,
        f"{threshold.text}: {'failed' if failed else 'held'}, it is {value.text}",
    )


def _not_measured(threshold: Threshold, finding: Finding | None, left_out: Sequence[LeftOut]) -> str:
    """Say why there is no number for a threshold: its name is wrong, its check does not apply, or was not run."""
    if finding is not None:
        names = [value.name for value in finding.values]
        hint = near(threshold.name, names) or f"; there are {', '.join(names) or 'none'}"
        return f"{finding.check} yields no number {threshold.name!r}{hint}"
    reasons = [one.reason for one in left_out if one.measure == threshold.check]
    return reasons[0] if reasons else f"the check {threshold.check} is not among --checks"
