"""Draw the figures of many explanations on several cores.

The processes are started with ``python -m``, not by `multiprocessing`: that would run a user's script again in each
of them, unless the script protects itself against it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from resemblance.config.errors import UserError
from resemblance.data.progress import track
from resemblance.explain.explanation import Explanation
from resemblance.report.figure_files import save_figure

ALONE = 8  # figures that are drawn in less time than processes need to start
Job = tuple[Explanation, Path]


def draw_figures(jobs: Sequence[Job], progress: bool = False, processes: int | None = None) -> None:
    """Draw the figure of each explanation to its path.

    Args:
        jobs: explanations and paths.
        progress: whether to show a progress bar.
        processes: how many processes draw; by default one per core, and this one alone for a few figures.

    Raises:
        UserError: if a figure cannot be written.
    """
    count = min(processes or _cores(), len(jobs))
    if processes is None and len(jobs) <= ALONE:
        count = 1
    if count < 2:
        for explanation, path in track(jobs, "drawing figures", progress):
            save_figure(explanation.plot(), path)
        return
    drawers = [_start() for _ in range(count)]
    free: SimpleQueue[Any] = SimpleQueue()
    for drawer in drawers:
        free.put(drawer)

    def draw(job: Job) -> str:
        drawer = free.get()
        try:
            pickle.dump(job, drawer.stdin)
            drawer.stdin.flush()
            return str(pickle.load(drawer.stdout))
        except (EOFError, OSError):
            return f"{job[1]}: the process that drew it has died"
        finally:
            free.put(drawer)

    try:
        with ThreadPoolExecutor(count) as pool:
            for problem in track(pool.map(draw, jobs), "drawing figures", progress, total=len(jobs)):
                if problem:
                    raise UserError(problem)
    finally:
        for drawer in drawers:
            drawer.stdin.close()
            drawer.terminate()
            drawer.wait()


def _start() -> Any:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-m", "resemblance.report.figure_drawing"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _serve() -> None:
    """Draw figures as they come on the standard input, and answer each with an empty text or the problem."""
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    while True:
        try:
            explanation, path = pickle.load(source)
        except EOFError:
            return
        try:
            save_figure(explanation.plot(), path)
            problem = ""
        except UserError as error:
            problem = str(error)
        pickle.dump(problem, answers)
        answers.flush()


if __name__ == "__main__":
    _serve()
