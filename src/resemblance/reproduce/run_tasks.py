"""Run tasks that are not finished, one after the other, by the commands that a user would type."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.reproduce.budget import Budget
from resemblance.reproduce.machine import describe_machine
from resemblance.reproduce.task import ITS_OWN_FOLDER, Record, Task
from resemblance.runs.folders import make_folder
from resemblance.runs.messages import Messages
from resemblance.training.engine.interrupts import Interrupted

GOES_ON = "stopped; the same command goes on from here"
Command = Callable[[list[str]], int]  # runs the words of a command and returns its exit code


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """Return tasks with those that must be finished before them, each once, in an order in which they can run."""
    ordered: dict[Path, Task] = {}

    def add(task: Task) -> None:
        for before in task.after:
            add(before)
        ordered.setdefault(task.folder, task)

    for task in tasks:
        add(task)
    return list(ordered.values())


def unfinished(tasks: Iterable[Task]) -> list[Task]:
    """Return the tasks that are not finished.

    Raises:
        UserError: if a folder holds a task with other options.
    """
    return [task for task in tasks if task.read_result() is None]


def run_tasks(
    tasks: Iterable[Task],
    command: Command,
    messages: Messages,
    budget: Budget | None = None,
) -> dict[str, str]:
    """Run all tasks that are not finished, and return the errors of those that failed, by name.

    A task whose predecessor failed is left out. What was stopped goes on, with as many epochs as it began with.

    Args:
        tasks: in an order in which they can run.
        command: runs a command.
        messages: receives the lines about the progress.
        budget: shortens trainings; None to train all epochs.
    """
    failed: dict[str, str] = {}
    lost: set[Path] = set()
    pending = unfinished(tasks)
    for number, task in enumerate(pending, 1):
        messages.say(f"[{number}/{len(pending)}] {task.name}")
        if any(before.folder in lost for before in task.after):
            lost.add(task.folder)
            failed[task.name] = "left out, since a run that it needs failed"
            continue
        try:
            _run(task, pending[number - 1 :], command, messages, budget)
        except UserError as error:
            lost.add(task.folder)
            failed[task.name] = str(error)
            messages.warn(f"{task.name} failed: {error}")
    return failed


def _run(
    task: Task, left: Sequence[Task], command: Command, messages: Messages, budget: Budget | None
) -> None:
    record = task.read_record()
    if record is None:
        shortened = budget.epochs(task, left) if budget is not None and task.verb == "train" else None
        count, full = shortened or (None, None)
        record = Record(task.shown(count), task.recorded_options(), count, full)
    if record.shortened:
        messages.say(record.shortened)
    words = task.words(record.epochs)
    if task.verb == "train" and any((task.folder / name).exists() for name in ITS_OWN_FOLDER):
        words.append("--resume")
    if task.verb == "convert" and task.result_path.exists():  # stopped between the run and its record
        replace(record, finished=True).write(task.record_path)
        return
    make_folder(task.folder.parent)
    started, code = time.monotonic(), None
    record.machine = describe_machine()
    record.write(task.record_path)
    try:
        code = command(words)
    except (KeyboardInterrupt, Interrupted) as stop:
        number = stop.exit_code - 128 if isinstance(stop, Interrupted) else signal.SIGINT
        raise Interrupted(GOES_ON, number) from None  # and not how the one run that was stopped would go on
    finally:
        record.seconds = round(record.seconds + time.monotonic() - started, 1)
        record.finished = code is not None and task.result_path.exists()
        record.write(task.record_path)
    if not record.finished:
        raise UserError(f"the command ended with code {code} and without a result: {record.command}")
