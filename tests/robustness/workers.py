"""Run inputs in forked processes, so that one that ends or hangs its process does not end the others."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from robustness.judging import SECONDS, Judgement, Limits
from robustness.kind import Kind
from robustness.malice import Trap

BATCH = 100  # inputs per process
PATIENCE = 4 * SECONDS  # seconds without a word from a worker, on a busy machine


def run_trials(
    name: str, kind: Kind, seeds: Any, seed: int, trials: Sequence[int], trap: Trap
) -> Iterator[tuple[int, Judgement]]:
    """Run trials of a kind, and yield the number and the judgement of each.

    Args:
        name: the name of the kind.
        kind: the kind.
        seeds: its valid inputs.
        seed: the seed of the whole fuzzing.
        trials: the numbers of the inputs.
        trap: looked at after each input.
    """
    waiting = list(trials)
    while waiting:
        batch = waiting[:BATCH]
        done = 0
        for judgement in _batch(lambda trial: _attempt(name, kind, seeds, seed, trial), batch):
            if trap.sprung:
                trap.mark.unlink() if trap.mark.is_file() else trap.mark.rmdir()
                judgement = judgement._replace(verdict="bad", cause=f"code was run: {judgement.cause}")
            yield batch[done], judgement
            done += 1
        waiting = waiting[done:]


def _attempt(name: str, kind: Kind, seeds: Any, seed: int, trial: int) -> Callable[[Path], object]:
    return lambda place: kind.attempt(random_of(seed, name, trial), seeds, place)


def random_of(seed: int, kind: str, trial: int) -> Random:
    """Return the source of all choices of one input."""
    return Random(f"{seed} {kind} {trial}")


def _batch(
    attempt_of: Callable[[int], Callable[[Path], object]], trials: Sequence[int]
) -> Iterator[Judgement]:
    """Yield a judgement for each trial, up to the first one that ends the process."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        reading, writing = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                _work(attempt_of, trials, Path(folder), writing)
            finally:
                os._exit(0)
        os.close(writing)
        told = 0
        with os.fdopen(reading, encoding="utf-8") as lines:
            while told < len(trials):
                silent = not select.select([lines], [], [], PATIENCE)[0]
                if silent:
                    os.kill(child, signal.SIGKILL)
                line = "" if silent else lines.readline()
                if not line:
                    break
                told += 1
                yield Judgement(*json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if told < len(trials):
            end = f"hung for {PATIENCE} s" if silent else f"ended its process with status {status}"
            yield Judgement("bad", end, "", PATIENCE if silent else 0.0)


def _work(
    attempt_of: Callable[[int], Callable[[Path], object]],
    trials: Sequence[int],
    folder: Path,
    writing: int,
) -> None:
    limits = Limits(folder / "stderr")
    for trial in trials:
        place = folder / str(trial)
        place.mkdir()
        attempt = attempt_of(trial)
        judgement = limits.judge(lambda: attempt(place))  # noqa: B023 (called at once)
        shutil.rmtree(place, ignore_errors=True)
        os.write(writing, (json.dumps(judgement) + "\n").encode())
