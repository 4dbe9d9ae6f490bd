"""Let the disk be full at each write of a command in turn, make room, go on, and compare with an undisturbed run.

It prints each fault with the words that repeat it, and the counts. From the root of the project:

    PYTHONPATH=src:tests python -m robustness.full_disk
    PYTHONPATH=src:tests python -m robustness.full_disk --only "train kmex" --every 5
    PYTHONPATH=src:tests python -m robustness.full_disk --only "train kmex" --write 17
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from robustness.commands import Command, Workplace, commands
from robustness.disk import Disk

RESUME = "repeat the command with --resume"
AGAIN = "make room, and repeat the command"


class Filler:
    """Fills the disk under commands.

    Args:
        place: where they run.
    """

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.full, self.unnoticed = 0, 0
        self.bad: list[str] = []

    def fill(self, command: Command, every: int, only: int | None = None) -> int:
        """Fill the disk at every n-th write of a command, or at one only; return the number of its writes."""
        counts = self.place.log.with_name("writes.txt")
        disk = Disk(self.place.out, counts=counts)
        expected, _ = self.place.expected(command, before=disk.before, after=disk.after)
        writes = int(counts.read_text())
        for number in range(1, writes + 1, every) if only is None else (only,):
            problems = self._trial(command, expected, number)
            if problems:
                text = f'--only "{command.name}" --write {number}'
                self.bad.append(text)
                print(f"BAD {text}\n    " + "\n    ".join(problems), flush=True)
        return writes

    def _trial(self, command: Command, expected: dict[str, Any], number: int) -> list[str]:
        earlier = self.place.start(command)
        disk = Disk(self.place.out, number)
        ended = self.place.run(command.words, before=disk.before, after=disk.after)
        problems = self.place.harmed(earlier, expected)
        if ended.code == 0:  # what was lost can be done without, such as the lines of a lock
            self.unnoticed += 1
        else:
            self.full += 1
            lines = [line for line in ended.output.splitlines() if "error: " in line.lower()]
            if ended.code != 2 or len(lines) != 1 or "Traceback" in ended.output:
                problems.append(f"the exit code is {ended.code}")
            elif RESUME not in lines[0] and AGAIN not in lines[0]:
                problems.append("no advice")
        if problems:
            return [*problems, ended.output[-1500:]]
        if ended.code:
            ended = self.place.run(f"{command.words} {'--resume' if RESUME in ended.output else ''}")
            if ended.code:
                return [f"ended with {ended.code}: {ended.output[-800:]}"]
        return self.place.unlike(expected)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="fill at every n-th write")
    parser.add_argument("--write", type=int, help="fill at this write only")
    parser.add_argument(
        "--only", action="append", help="the name of a command, such as 'train kmex' (repeatable)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        filler = Filler(Workplace(Path()))
        for command in commands():
            if not arguments.only or command.name in arguments.only:
                started = time.monotonic()
                writes = filler.fill(command, arguments.every, arguments.write)
                print(f"{command.name}: {writes} writes, {time.monotonic() - started:.0f} s", flush=True)
        os.chdir("/")
    print(
        f"{filler.full} ended by a full disk; {filler.unnoticed} went on without the write; bad {len(filler.bad)}"
    )
    return 1 if filler.bad else 0


if __name__ == "__main__":
    sys.exit(main())
