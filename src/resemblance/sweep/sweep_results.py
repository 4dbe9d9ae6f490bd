"""The table of a sweep, and its plot: accuracy against the first option, one curve per combination of the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from resemblance.drawing.line_chart import Line, Panel, line_chart
from resemblance.drawing.style import png
from resemblance.sweep.option_grid import numbers
from resemblance.sweep.sweeping import MEASURES, SweepPoint
from resemblance.writing import write_bytes, write_text


def sweep_table(points: Sequence[SweepPoint]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows: options, accuracies over the seeds, epochs and minutes."""
    options = list(points[0].values)
    shortened = any(point.epochs for point in points)
    header = [name.replace("_", "-") for name in options] + [f"{split}, %" for split in MEASURES] + ["seeds"]
    rows = []
    for point in points:
        seeds = dict.fromkeys(seed for values in point.accuracies.values() for seed in values)
        row = [*point.values.values(), *(_accuracy(point, split) for split in MEASURES)]
        row.append(", ".join(map(str, seeds)))
        row += [point.epochs] if shortened else []
        rows.append([*row, "" if point.minutes is None else f"{max(point.minutes, 0.1):.1f}"])
    return [*header, *(["epochs"] if shortened else []), "minutes"], rows


def sweep_chart(points: Sequence[SweepPoint], grid: Mapping[str, Sequence[str]]) -> Figure:
    """Draw validation and test accuracy against the first option, with one standard deviation over the seeds.

    Values that are no numbers stand in their order, and the axis names them.

    Example:
        >>> points = [SweepPoint({"slots": "3"}, {"test": {0: 0.8}}), SweepPoint({"slots": "5"}, {"test": {0: 0.9}})]
        >>> [text.get_text() for text in sweep_chart(points, {"slots": ("3", "5")}).texts]
        ['slots']
    """
    first, *others = grid
    values = list(grid[first])
    places = numbers(values)
    label = first.replace("_", "-")
    if places is None:
        places = [float(number) for number in range(1, len(values) + 1)]
        label += f" ({', '.join(f'{number}: {value}' for number, value in enumerate(values, 1))})"
    at = dict(zip(values, places, strict=True))
    curves: dict[str, list[SweepPoint]] = {}
    for point in points:
        name = ", ".join(f"{other.replace('_', '-')} {point.values[other]}" for other in others)
        curves.setdefault(name or first.replace("_", "-"), []).append(point)
    panels = []
    for split in MEASURES:
        lines = []
        for colour, (name, row) in enumerate(curves.items()):
            known = sorted(
                (at[point.values[first]], mean, point.spread(split))
                for point in row
                if (mean := point.mean(split)) is not None
            )
            if known:
                x, y, spread = (list(column) for column in zip(*known, strict=True))
                shown = [None if value is None else 100 * value for value in spread]
                lines.append(Line(name, x, [100 * mean for mean in y], colour, markers=True, spread=shown))
        if lines:
            panels.append(Panel(label, f"{split} accuracy, %", lines))
    return line_chart(panels)


def write_sweep(
    points: Sequence[SweepPoint], grid: Mapping[str, Sequence[str]], title: str, folder: Path
) -> list[Path]:
    """Write table.txt, table.md, table.json and sweep.png to a folder, and return their paths.

    Args:
        points: the combinations.
        grid: the values of the options.
        title: what was run.
        folder: an existing folder.
    """
    header, rows = sweep_table(points)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    text = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [header, *rows]]
    machines = dict.fromkeys(point.machine for point in points if point.machine)
    lines = [f"`{title}`", "", *(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])]
    lines += ["", f"Mean ± standard deviation over the seeds. Machine: {'; '.join(machines)}.", ""]
    write_text(folder / "table.txt", "\n".join([title, *text, ""]))
    write_text(folder / "table.md", "\n".join(lines))
    document = {"command": title, "points": [point.to_dict() for point in points]}
    write_text(folder / "table.json", json.dumps(document, indent=2, ensure_ascii=False))
    paths = [folder / name for name in ("table.txt", "table.md", "table.json")]
    if any(point.mean(split) is not None for point in points for split in MEASURES):
        write_bytes(folder / "sweep.png", png(sweep_chart(points, grid)))
        paths.append(folder / "sweep.png")
    return paths


def _accuracy(point: SweepPoint, split: str) -> str:
    mean, spread = point.mean(split), point.spread(split)
    if mean is None:
        return "–"
    return f"{100 * mean:.2f}" + ("" if spread is None else f" ± {100 * spread:.2f}")
