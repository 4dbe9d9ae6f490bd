"""What all benchmarks share: alternating rounds, a row for each measurement, and the table of them."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resemblance.reproduce.machine import describe_machine


@dataclass(frozen=True)
class Measurement:
    """One row: what is measured, how it is done, and what it may be at most.

    ``work(quick)`` returns the measured value (a ratio, unless the title names a unit) and that of the base (seconds,
    or MiB where memory is measured).
    """

    title: str
    work: Callable[[bool], tuple[float, float]]
    goal: float | None
    how: str


def rounds(base: Callable[[], Any], ours: Callable[[], Any], count: int) -> tuple[float, float]:
    """The median ratio of ``ours`` to ``base`` over alternating rounds, and the median seconds of ``base``."""
    base(), ours()  # warm
    ratios, seconds = [], []
    for index in range(count):
        times = {}
        for name, work in [("base", base), ("ours", ours)][:: 1 if index % 2 else -1]:
            times[name] = taken(work)
        ratios.append(times["ours"] / times["base"])
        seconds.append(times["base"])
    return statistics.median(ratios), statistics.median(seconds)


def taken(work: Callable[[], Any]) -> float:
    """The seconds that a piece of work takes: of the processor, which others cannot lengthen, or with an accelerator
    those that pass.
    """
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


def device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(
    measurements: Mapping[str, Measurement], names: list[str], quick: bool
) -> Iterator[dict[str, Any]]:
    """Run the measurements, one row each."""
    for name in names:
        measurement = measurements[name]
        row: dict[str, Any] = {"name": name, "what": measurement.title, "how": measurement.how}
        try:
            value, base = measurement.work(quick)
        except ImportError as error:
            yield {**row, "skipped": f"{error.name} is not installed"}
            continue
        yield {**row, "measured": round(value, 3), "goal": measurement.goal, "base": round(base, 3)}


def print_table(measurements: Mapping[str, Measurement], description: str | None) -> None:
    """Print the table of the measurements that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=measurements, default=list(measurements), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="few rounds and images: to try the script")
    options = parser.parse_args()
    if options.list:
        print("\n".join(measurements))
        return
    print(describe_machine())
    print(f"{'what':56} {'measured':>9} {'goal':>7}  how")
    rows = []
    for row in measure(measurements, options.only, options.quick):
        rows.append(row)
        measured = f"{row['measured']:.3f}" if "measured" in row else "-"
        goal = f"{row['goal']:.2f}" if row.get("goal") else "-"
        print(f"{row['what']:56} {measured:>9} {goal:>7}  {row.get('skipped', row['how'])}", flush=True)
        if options.json:  # after each: what was measured is kept when a later one is stopped
            options.json.write_text(
                json.dumps({"machine": describe_machine(), "rows": rows}, indent=2) + "\n"
            )
