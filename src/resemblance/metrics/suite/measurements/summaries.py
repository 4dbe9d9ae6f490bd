"""Measurements whose metric reports a summary: value, interval, baselines, variants and counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resemblance.metrics.since.summary import SummarizedMetric, Summary
from resemblance.metrics.suite.measurement import Measurement
from resemblance.metrics.suite.result import Better, MeasureResult, Value, finite

TOTALS = ("images", "pairs", "prototypes", "patches")  # what a summary counts other than what it leaves out


class SummaryMeasurement(Measurement):
    """A measurement of one metric, ``metric``, with a summary."""

    metric: SummarizedMetric

    def summarized(
        self,
        says: str,
        good: str,
        meaning: str,
        *,
        baseline: str | None = None,
        variants: Mapping[str, str] | None = None,
        of: str = "images",
        share: bool = True,
        notes: tuple[str, ...] = (),
    ) -> MeasureResult:
        """Put the summary of the metric into a result.

        Args:
            says: a sentence about this model; ``{value}`` and ``{baseline}`` are replaced.
            good: a sentence about a good value.
            meaning: what the measure is.
            baseline: the baseline that stands beside the value; by default the first one.
            variants: the variants of the summary that become numbers of their own, with a sentence for each.
            of: what is counted.
            share: whether the value is a share.
            notes: further notes.
        """
        summary = self.metric.summary()
        better: Better | None = {True: "higher", False: "lower", None: None}[summary.higher_is_better]
        chosen = baseline if baseline in summary.baselines else next(iter(summary.baselines), None)
        against = None if chosen is None else summary.baselines[chosen]
        name = self.name.replace("-", "_")
        left_out = {reason: number for reason, number in summary.counts.items() if reason not in TOTALS}
        count = next((summary.counts[total] for total in TOTALS if total in summary.counts), None)
        low, high = summary.interval
        values = [
            Value(
                name,
                self.title.lower(),
                summary.value,
                better,
                says.format(value=_text(summary.value), baseline=_text(against)),
                good,
                baseline=finite(against),
                baseline_of=chosen or "",
                interval=(low, high) if finite(low) is not None and finite(high) is not None else None,
                count=count,
                of=of,
                left_out=left_out,
                share=share,
            )
        ]
        values += [
            Value(
                f"{name}_{variant.replace(' ', '_')}",
                f"{self.title.lower()}, {variant}",
                summary.variants[variant],
                better,
                sentence.format(value=_text(summary.variants[variant])),
                good,
                count=count,
                of=of,
                share=share,
            )
            for variant, sentence in (variants or {}).items()
            if variant in summary.variants
        ]
        return MeasureResult(
            self.name, self.title, meaning, tuple(values), details=details(summary), notes=notes
        )


def details(summary: Summary) -> dict[str, Any]:
    """Return all baselines, variants and counts of a summary, JSON-ready."""
    whole = summary.to_dict()
    return {name: whole[name] for name in ("baselines", "variants", "counts", "definition")}


def _text(value: float | None) -> str:
    if value is None or finite(value) is None:
        return "an undefined number"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
