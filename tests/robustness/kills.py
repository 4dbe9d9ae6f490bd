"""Kill every command at random moments with real signals, go on, and compare with a run that was never killed.

It prints each fault with the words that repeat it, and the counts. From the root of the project:

    PYTHONPATH=src:tests python -m robustness.kills --trials 330
    PYTHONPATH=src:tests python -m robustness.kills --only "train protopnet" --trials 20 --seed 1
    PYTHONPATH=src:tests python -m robustness.kills --only "train protopnet" --trial 7
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from robustness.commands import Command, Workplace, commands
from robustness.moments import Counting, Moment
from robustness.processes import Ended

KINDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)  # half of the kills give no warning
# The exit codes by signal: of the operating system, or of a command that handles it.
CODES = {
    signal.SIGKILL: (-signal.SIGKILL,),
    signal.SIGTERM: (-signal.SIGTERM, 143),
    signal.SIGINT: (130,),
}
# Half of the signals come at any time, half at a call in one of these parts, however little time it takes.
PARTS = (
    "store",
    "writing",
    "runs",
    "report",
    "explain",
    "metrics.suite",
    "metrics.suite.partial",
    "convert",
    "training.engine",
    "training.watch",
    "training.ends.projection",
    "training.ends.nearest",
    "training.ends.pruning",
    "training.ends",
)


@dataclass
class Counts:
    """The counts of all trials: kills by signal, places of the kills, and what went wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    bad: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        places = ", ".join(f"{name} {count}" for name, count in sorted(self.places.items()))
        return (
            f"{sum(self.kills.values())} kills ({kinds}); at {places}; "
            f"{self.missed} signals came after the end; bad {len(self.bad)}"
        )


class Killer:
    """Kills commands.

    Args:
        place: where they run.
        seed: of the moments.
    """

    def __init__(self, place: Workplace, seed: int) -> None:
        self.place, self.seed, self.counts = place, seed, Counts()

    def kill(self, command: Command, trials: range) -> None:
        """Kill a command in a number of trials, each of which ends with a complete output."""
        counting = Counting(self.place.log.with_name("calls.json"))
        self.place.expected(command, before=counting.before, after=counting.after)
        calls = counting.counts([*PARTS, f"methods.{command.name.split()[-1]}"])
        expected, seconds = self.place.expected(command)
        for trial in trials:
            draw = random.Random(f"{self.seed} {command.name} {trial}")
            problems, history = self._trial(command, expected, calls, seconds, draw)
            if problems:
                text = f'--only "{command.name}" --trial {trial} --seed {self.seed}'
                self.counts.bad.append(text)
                print(f"BAD {text}\n    {'; '.join(history)}\n    " + "\n    ".join(problems), flush=True)

    def _trial(
        self,
        command: Command,
        expected: dict[str, Any],
        calls: dict[str, int],
        seconds: float,
        draw: random.Random,
    ) -> tuple[list[str], list[str]]:
        """Kill once to three times, then let the command end; return what is wrong, and what was done."""
        earlier = self.place.start(command)
        options = draw.choice(command.options)
        words, history = f"{command.words} {options}", [options or "no options"]
        for number in range(draw.choice((1, 1, 2, 3))):
            moment = self._moment(calls, seconds, draw)
            ended = self.place.run(
                f"{words} {command.again if number else ''}", before=moment.before, beside=moment.beside
            )
            history.append(f"{moment} -> {ended.code}")
            problems = self._after_kill(ended, moment) + self.place.harmed(earlier, expected)
            if problems:
                return [*problems, ended.output[-800:]], history
            if ended.code == 0:
                break
        else:
            ended = self.place.run(f"{words} {command.again}")
            if ended.code:
                return [f"ended with {ended.code}: {ended.output[-800:]}"], history
        return self.place.unlike(expected), history

    def _moment(self, calls: dict[str, int], seconds: float, draw: random.Random) -> Moment:
        number = draw.choice(KINDS)
        if draw.random() < 0.5:
            return Moment(number, seconds=draw.uniform(0, seconds))
        part = draw.choice(sorted(calls))
        return Moment(number, part=part, call=draw.randint(1, calls[part]))

    def _after_kill(self, ended: Ended, moment: Moment) -> list[str]:
        """Count the kill, and return what is wrong with how the command ended."""
        if ended.code == 0:
            self.counts.missed += 1
        else:
            self.counts.kills[signal.Signals(moment.number).name] += 1
            self.counts.places[moment.part or "any time"] += 1
        problems = []
        if ended.code not in (0, *CODES[signal.Signals(moment.number)]):
            problems.append(f"the exit code is {ended.code}")
        trace = "Traceback" in ended.output or "internal error" in ended.output
        if (
            trace and moment.number != signal.SIGKILL
        ):  # else those of its processes that read images, which end too
            problems.append("a trace instead of a line")
        return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=330, help="in all, each with one kill or more")
    parser.add_argument("--trial", type=int, help="only this trial of each command")
    parser.add_argument(
        "--only", action="append", help="the name of a command, such as 'train kmex' (repeatable)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [command for command in commands() if not arguments.only or command.name in arguments.only]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        killer = Killer(Workplace(Path()), arguments.seed)
        for position, command in enumerate(chosen):
            count = arguments.trials // len(chosen) + (position < arguments.trials % len(chosen))
            trials = range(count) if arguments.trial is None else range(arguments.trial, arguments.trial + 1)
            started = time.monotonic()
            if trials:
                killer.kill(command, trials)
                print(f"{command.name}: {len(trials)} trials, {time.monotonic() - started:.0f} s", flush=True)
        os.chdir("/")
    print(killer.counts)
    return 1 if killer.counts.bad else 0


if __name__ == "__main__":
    sys.exit(main())
