"""Put evaluations beside the figures of the KMEx paper, as the tables of docs/results.md.

    python experiments/evaluation_table.py EVALUATION ...

Each EVALUATION is an evaluation.json of `resemblance evaluate RUN ... --metrics paper`, or its folder. Runs of the same
method and data are taken for seeds of one model, so each seed may occur once. A run may occur in several files, for
instance if measures were added later.

The second table has, for each pair of models, whether the order of their means is that of the paper. The noise of a
mean is the standard deviation over seeds; of a single seed, the standard error over images. A difference within the
root mean square of both noises is no order. Where a noise is unknown it counts as 0, which is marked by °.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from resemblance.reproduce.named_rows import read_rows

MODELS = {
    "blackbox": "black box",
    "kmex": "KMEx",
    "flint": "FLINT",
    "protopnet": "ProtoPNet",
    "protovae": "ProtoVAE",
}
AFTER = "diversity after KMEx"
MEASURES = {
    "accuracy": "accuracy ↑",
    "ghosting": "D_tsp ↓",
    "divergence": "D_fdl ↓",
    "diversity": "D_dvs ↓",
    AFTER: "D_dvs after KMEx ↓",
    "average_drop": "AD ↓",
    "average_increase": "AI ↑",
    "relevance_ordering": "RO, area ↑",
}
# The measures in the names of the rows of the experiments, and the models.
TABLES = {
    ("accuracy", "table3"): "accuracy",
    ("AD", "table4"): "average_drop",
    ("AI", "table4"): "average_increase",
    ("D_tsp", "table5"): "ghosting",
    ("D_fdl", "table6"): "divergence",
    ("D_dvs", "table7"): "diversity",
    ("D_dvs", "table8"): AFTER,
}
DATA = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}


@dataclass
class Figure:
    """The values of one measure of one model, by run, and the standard error of each, where known."""

    values: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float | None] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """The mean over the runs."""
        return statistics.fmean(self.values.values())

    @property
    def noise(self) -> float | None:
        """The deviation over seeds; for a single seed, the standard error over images."""
        values = list(self.values.values())
        return statistics.stdev(values) if len(values) > 1 else next(iter(self.errors.values()))

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.mean:.3f} (1)"
        return f"{self.mean:.3f} ± {self.noise:.3f} ({len(self.values)})"


Figures = dict[tuple[str, str, str], Figure]  # measure, data, model


def read(path: Path) -> list[dict[str, Any]]:
    """Return the runs of an evaluation, of which the file of a single run has the entries itself."""
    path = path / "evaluation.json" if path.is_dir() else path
    document = json.loads(path.read_text(encoding="utf-8"))
    runs: list[dict[str, Any]] = document.get("runs") or [document]
    return runs


def collect(documents: list[list[dict[str, Any]]]) -> Figures:
    """Return all figures of the measures, data and models of the paper.

    Raises:
        ValueError: if two runs have the same model, data and seed, or one run has two values.
    """
    figures: Figures = {}
    owners: dict[tuple[str, str, int], str] = {}
    for runs in documents:
        methods = {run["run"]: run["method"] for run in runs}
        for run in runs:
            data = run["data"].partition(":")[0]
            original = run["kmex_of"]
            model = methods[original] if original else run["method"]
            if data not in DATA or model not in MODELS:
                continue
            if not original and run["seed"] is not None:
                owner = owners.setdefault((data, model, run["seed"]), run["run"])
                if owner != run["run"]:
                    raise ValueError(
                        f"{owner} and {run['run']} are both {MODELS[model]} on {DATA[data]} with seed {run['seed']}; "
                        "give the evaluation of one of them"
                    )
            for value in (value for one in run["measures"].values() for value in one["values"]):
                name = value["name"]
                if original:
                    name = AFTER if name == "diversity" else ""
                if name in MEASURES and value["value"] is not None:
                    _add(figures.setdefault((name, data, model), Figure()), original or run["run"], value)
    return figures


def _add(figure: Figure, run: str, value: dict[str, Any]) -> None:
    if figure.values.setdefault(run, value["value"]) != value["value"]:
        raise ValueError(f"{run} has two values of {value['title']}; give evaluations with the same settings")
    figure.errors[run] = standard_error(value)


def standard_error(value: dict[str, Any]) -> float | None:
    """Return the standard error of one value over images, from its interval, deviation or count; None if unknown."""
    if value["interval"] is not None:
        return (value["interval"][1] - value["interval"][0]) / (2 * 1.96)
    if not value["count"]:
        return None
    if value["deviation"] is not None:
        return value["deviation"] / math.sqrt(value["count"])
    if value["name"] == "average_increase":  # a share of independent cases
        return math.sqrt(value["value"] * (1 - value["value"]) / value["count"])
    return None


def tables(figures: Figures, paper: dict[str, dict[str, dict[str, list[float]]]]) -> list[str]:
    """Return the lines of both tables for each data set."""
    lines = []
    for data, title in DATA.items():
        if not any(key[1] == data for key in figures):
            continue
        models = [model for model in MODELS if any(key[1:] == (data, model) for key in figures)]
        header = [f"{MODELS[model]}{part}" for model in models for part in ("", ", the paper")]
        lines += [f"### {title}", "", _row(["measure", *header]), _row(["---"] * (1 + len(header)))]
        for measure, name in MEASURES.items():
            theirs = paper.get(measure, {}).get(data, {})
            cells = []
            for model in models:
                ours = figures.get((measure, data, model))
                cells += ["–" if ours is None else str(ours), _printed(theirs.get(model))]
            lines.append(_row([name, *cells]))
        lines += ["", *orderings(data, figures, paper), ""]
    return lines


def orderings(data: str, figures: Figures, paper: dict[str, dict[str, dict[str, list[float]]]]) -> list[str]:
    """Return the table of the orders of all pairs of models that both the paper and we have measured."""
    rows = []
    for measure, name in MEASURES.items():
        theirs = paper.get(measure, {}).get(data, {})
        known = [model for model in MODELS if model in theirs and (measure, data, model) in figures]
        for one, other in combinations(known, 2):
            ours = figures[measure, data, one], figures[measure, data, other]
            noise = [_deviation(theirs[model]) for model in (one, other)]
            sign, within = _compare(theirs[one][0], theirs[other][0], *noise)
            claim = f"{MODELS[one]} {sign} {MODELS[other]}" + (" (within its deviation)" if within else "")
            rows.append(_row([name, claim, verdict(*ours, sign)]))
    return [_row(["measure", "the paper", "here"]), _row(["---"] * 3), *rows] if rows else []


def verdict(one: Figure, other: Figure, sign: str) -> str:
    """Return whether two figures have the order that the paper has.

    Args:
        one: the first.
        other: the second.
        sign: the paper's order, ``<``, ``>`` or ``=``.
    """
    found, within = _compare(one.mean, other.mean, one.noise or 0.0, other.noise or 0.0)
    mark = "°" if one.noise is None or other.noise is None else ""
    if within:
        return "within the deviation" + mark
    if found == sign:
        return ("equal, as there" if sign == "=" else "holds") + mark
    return ("reversed" if "=" not in (found, sign) else "differs") + mark


def _compare(one: float, other: float, first: float, second: float) -> tuple[str, bool]:
    """Return the order of two means, and whether their difference lies within their noise."""
    sign = "=" if one == other else "<" if one < other else ">"
    return sign, sign != "=" and abs(one - other) < math.sqrt((first**2 + second**2) / 2)


def _deviation(figure: list[float]) -> float:
    return figure[1] if len(figure) > 1 else 0.0


def paper_figures() -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return the figures of Tables 3 to 8 of the paper: measure → data → model → mean and, over runs, deviation.

    Accuracies are fractions. Deviations over images and runs together, as in Table 4, are left out.
    """
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in read_rows().values():
        paper, table, name = row.name.split("/")
        model = {"resnet34": "blackbox"}.get(name, name.removesuffix("-kmex"))
        for measure in row.measures:
            known = TABLES.get((measure, table)) if paper == "kmex" else None
            for data in DATA if known is not None else ():
                figure = row.cells[data].paper[measure]
                over_runs = figure.spread is not None and "images" not in row.spread
                numbers = [figure.mean, figure.spread] if over_runs else [figure.mean]
                scale = 0.01 if row.measures[measure].percent else 1
                figures.setdefault(known, {}).setdefault(data, {})[model] = [
                    round(scale * number, 6) for number in numbers
                ]
    return figures


def _printed(figure: list[float] | None) -> str:
    return "–" if figure is None else " ± ".join(f"{number:.3f}" for number in figure)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    if len(sys.argv) < 2:
        sys.exit((__doc__ or "").strip())
    try:
        figures = collect([read(Path(name)) for name in sys.argv[1:]])
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"evaluation_table: {error}")
    print("\n".join(tables(figures, paper_figures())))


if __name__ == "__main__":
    main()
