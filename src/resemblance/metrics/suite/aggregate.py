"""Put the results of several runs side by side, and sum up runs that differ in their seed alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resemblance.config.evaluation.measure_names import MEASURES
from resemblance.metrics.suite.result import Curve, Value, finite
from resemblance.metrics.suite.runner import SuiteResult

# Settings of a method that say where a model came from, not what it is.
ORIGINS = ("weights", "base", "start")


@dataclass(frozen=True)
class MeasuredRun:
    """A run with its results.

    Args:
        name: the name of the run.
        method: its method.
        seed: the seed that it was trained with; None if it is not known.
        trained: the number of prototypes that it was trained with.
        settings: the settings of its method.
        data: the data that it was measured on.
        split: the split.
        result: the results.
        of: for the KMEx conversion of another run, the name of that run.
    """

    name: str
    method: str
    seed: int | None
    trained: int | None
    settings: Mapping[str, Any]
    data: str
    split: str
    result: SuiteResult
    of: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "run": self.name,
            "method": self.method,
            "data": self.data,
            "split": self.split,
            "seed": self.seed,
            "trained_prototypes": self.trained,
            "kmex_of": self.of,
            **self.result.to_dict(),
        }


@dataclass(frozen=True)
class Summary:
    """One number of several runs.

    Args:
        mean: the mean over the runs where it is defined.
        deviation: the standard deviation over the runs (n − 1); None for one run.
        count: the number of runs where it is defined.

    Example:
        >>> Summary.of([0.5, 0.7, float("nan")]).mean, Summary.of([0.5, float("nan")]).deviation
        (0.6, None)
    """

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Sum up numbers; those that are not finite are left out."""
        defined = [value for value in values if finite(value) is not None]
        if not defined:
            return cls(float("nan"), None, 0)
        deviation = statistics.stdev(defined) if len(defined) > 1 else None
        return cls(statistics.fmean(defined), deviation, len(defined))


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone.

    Args:
        label: the method, with the settings in which groups of the same method differ.
        runs: the runs.
    """

    label: str
    runs: tuple[MeasuredRun, ...]

    def summary(self, measure: str, name: str) -> Summary:
        """Sum up one number over the runs that have it."""
        values = [value.value for run in self.runs if (value := find_value(run, measure, name)) is not None]
        return Summary.of(values)

    def to_dict(self, columns: Sequence[tuple[str, Value]]) -> dict[str, Any]:
        """Return a JSON-ready dictionary of mean, deviation and number of runs for each number."""
        numbers: dict[str, Any] = {}
        for measure, value in columns:
            numbers.setdefault(measure, {})[value.name] = _entry(self.summary(measure, value.name))
        return {"label": self.label, "runs": [run.name for run in self.runs], "summary": numbers}


def _entry(summary: Summary) -> dict[str, Any]:
    return {"mean": finite(summary.mean), "deviation": finite(summary.deviation), "runs": summary.count}


def find_value(run: MeasuredRun, measure: str, name: str) -> Value | None:
    """Return one number of a run; None if it was not measured."""
    for result in run.result.results:
        if result.measure == measure:
            return next((value for value in result.values if value.name == name), None)
    return None


def find_curves(run: MeasuredRun, measure: str) -> tuple[Curve, ...]:
    """Return the curves of a measure of a run."""
    return next((result.curves for result in run.result.results if result.measure == measure), ())


def columns_of(runs: Sequence[MeasuredRun]) -> list[tuple[str, Value]]:
    """Return each number that some run has, as measure and an example of its value, in the order of the measures."""
    columns: dict[str, dict[str, Value]] = {measure: {} for measure in MEASURES}
    for run in runs:
        for result in run.result.results:
            for value in result.values:
                columns.setdefault(result.measure, {}).setdefault(value.name, value)
    return [(measure, value) for measure, values in columns.items() for value in values.values()]


def groups_of(runs: Sequence[MeasuredRun]) -> list[Group]:
    """Group runs of the same method and settings, whose seeds may differ, in the order of their first runs.

    The label has the settings in which groups of one method differ.
    """
    keys: dict[str, list[MeasuredRun]] = {}
    for run in runs:
        keys.setdefault(_key(run), []).append(run)
    grouped = list(keys.values())
    return [Group(_label(members[0], [other[0] for other in grouped]), tuple(members)) for members in grouped]


def _settings(run: MeasuredRun) -> dict[str, Any]:
    settings = {name: value for name, value in run.settings.items() if name not in ORIGINS}
    return settings | ({"of": _stem(run)} if run.of is not None else {})


def _key(run: MeasuredRun) -> str:
    return repr((run.method, run.data, run.split, sorted(_settings(run).items(), key=lambda pair: pair[0])))


def _stem(run: MeasuredRun) -> str:
    """Return the method of the run that was converted, which is in the settings of the conversion."""
    return str(run.settings.get("original_method", run.of))


def _label(run: MeasuredRun, firsts: Sequence[MeasuredRun]) -> str:
    """Return the method and the settings in which it differs from other groups of the same name."""
    alike = [other for other in firsts if _name(other) == _name(run)]
    mine = _settings(run)
    differing = [
        setting
        for setting, value in mine.items()
        if setting != "of" and any(_settings(other).get(setting) != value for other in alike)
    ]
    settings = [f"{setting.replace('_', ' ')} {mine[setting]}" for setting in differing[:3]]
    return ", ".join([_name(run), *settings])


def _name(run: MeasuredRun) -> str:
    return run.method if run.of is None else f"kmex of {_stem(run)}"
