"""Say which of several models is more accurate and which explains better, criterion by criterion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from resemblance.report.content import RunReport, SplitResult
from resemblance.report.glance.statement import Statement, percent


def which_is_better(runs: Sequence[RunReport]) -> list[Statement]:
    """Return a sentence for each criterion on which the runs can be compared; nothing for a single run.

    No ranking is made of all of them together: how much each counts is for the reader to say.

    Example:
        >>> import numpy as np
        >>> def run(name, right):
        ...     result = SplitResult("test", np.array([[right, 100 - right], [0, 100]]))
        ...     return RunReport(name, "kmex", ("cat", "dog"), results=[result])
        >>> which_is_better([run("first", 80), run("second", 60)])[0].text.replace(chr(160), " ")
        'first: 90.0 %; second: 80.0 % of the test images.'
    """
    if len(runs) < 2:
        return []
    explaining = [run for run in runs if run.explanations]
    statements = [
        _ranked("Which is more accurate?", runs, _accuracy, percent, f" of the {_test_name(runs)} images"),
        _ranked(
            "Which costs least accuracy?",
            runs,
            _gap,
            _points,
            " against the classifier without explanations",
            low=True,
        ),
        _ranked(
            "Which explains more of its score?",
            explaining,
            _share,
            percent,
            " of all contributions are carried by the reasons shown (mean over the images below)",
        ),
        _ranked("Which has fewer idle prototypes?", runs, _unused, percent, " are unused", low=True),
        _ranked("Which passed more checks?", runs, _passed, percent, " of the audit's checks with a verdict"),
    ]
    return [statement for statement in statements if statement is not None]


def _ranked(
    topic: str,
    runs: Sequence[RunReport],
    value: Callable[[RunReport], float | None],
    show: Callable[[float], str],
    unit: str,
    low: bool = False,
) -> Statement | None:
    """List the runs with their values, the best first; None if fewer than two have one."""
    values = [
        (run.name, number) for run in runs if (number := value(run)) is not None and math.isfinite(number)
    ]
    if len(values) < 2:
        return None
    values.sort(key=lambda pair: pair[1] if low else -pair[1])
    listed = "; ".join(f"{name}: {show(number)}" for name, number in values)
    return Statement(topic, f"{listed}{unit}.")


def _test(run: RunReport) -> SplitResult | None:
    return next((one for one in run.results if one.name.startswith("test") and one.images), None)


def _test_name(runs: Sequence[RunReport]) -> str:
    """Return what the test images of the runs are called; `test` where the runs have different ones."""
    names = {result.name for run in runs if (result := _test(run)) is not None}
    return names.pop() if len(names) == 1 else "test"


def _accuracy(run: RunReport) -> float | None:
    result = _test(run)
    return None if result is None else result.accuracy


def _gap(run: RunReport) -> float | None:
    result = _test(run)
    return None if result is None or run.method == "blackbox" else result.gap


def _points(gap: float) -> str:
    points = round(100 * gap, 1)
    return f"{abs(points):.1f} points {'lost' if points > 0 else 'gained'}" if points else "nothing lost"


def _share(run: RunReport) -> float | None:
    shares = [one.share for explanation in run.explanations for one in explanation.breakdowns]
    return float(np.mean(shares)) if shares else None


def _unused(run: RunReport) -> float | None:
    known = run.prototypes and run.words.rivals
    return len(run.unused) / len(run.prototypes) if known else None


def _passed(run: RunReport) -> float | None:
    if run.audit is None:
        return None
    judged = [verdict for _, verdict in run.audit.verdicts if verdict in ("passed", "doubtful", "failed")]
    return sum(verdict == "passed" for verdict in judged) / len(judged) if judged else None
