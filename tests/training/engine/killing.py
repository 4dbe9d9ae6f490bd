"""Kill training runs with SIGKILL at chosen moments, resume them, and compare the final weights.

Run as a script: it imports once and forks a process for each run, so that many kills cost little.
"""

from __future__ import annotations

import csv
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from cases import METHODS, made, train
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.training.ends import actions
from resemblance.training.engine import checkpoints
from resemblance.training.engine.fit import fit
from resemblance.training.engine.module import StageModule
from resemblance.training.engine.state import plain
from tiny import Stage, both, digits, make

STAGES = (
    Stage("warm", 2, {"head": both()["head"]}),
    Stage("joint", 3, both(), select="best", end=("nudge", "halve"), candidate=True),
    Stage("last", 2, {"head": both(1e-3)["head"]}, candidate=True),
)
REAL_SAVE = torch.save


# The model that is trained and killed: the tiny one, or the case of the method named on the command line.
CHOSEN = next((name for name in METHODS if name in sys.argv), "tiny")


def make_one(seed: int) -> Classifier:
    return make(seed, STAGES) if CHOSEN == "tiny" else made(CHOSEN, seed)


def end_actions() -> list[str]:
    """Return the names of all end actions of the recipe."""
    return list(dict.fromkeys(name for stage in make_one(0).recipe().stages for name in stage.end))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(number: int) -> None:
    """Kill in the middle of an optimiser step."""
    seen = {"steps": 0}
    original = StageModule.training_step

    def training_step(self, batch, batch_idx):
        seen["steps"] += 1
        if seen["steps"] == number:
            die()
        return original(self, batch, batch_idx)

    StageModule.training_step = training_step


def while_writing(number: int) -> None:
    """Kill with half a checkpoint on the disk."""
    seen = {"files": 0}

    def save(content, file):
        seen["files"] += 1
        REAL_SAVE(content, file)
        if seen["files"] == number:
            on_disk = file.file
            on_disk.truncate(on_disk.tell() // 2)
            on_disk.flush()
            die()

    torch.save = save


def after_writing(number: int) -> None:
    """Kill right after a checkpoint has been renamed, for instance between two stages."""
    seen = {"files": 0}
    original = os.replace

    def replace(source, target):
        original(source, target)
        seen["files"] += str(target).endswith(".ckpt")
        if seen["files"] == number:
            die()

    checkpoints.os.replace = replace


def in_action(name: str) -> None:
    """Kill right after an end action has changed the model."""
    original = actions.find(name, make_one(0))

    def act(model, context):
        original(model, context)
        die()

    actions.END_ACTIONS[name] = act


def run(folder: Path, weights: Path, resume: bool, **options) -> None:
    model = make_one(4 if resume else 0)  # a resumed run does not need the same start
    if CHOSEN == "tiny":
        config = TrainConfig(seed=3, accelerator="cpu", progress=False, resume=resume, **options)
        result = fit(model, digits(), folder, config)
    else:
        result = train(model, folder, images=192, resume=resume, **options)
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in result.history]
    REAL_SAVE({"model": model.state_dict(), "history": history, "facts": plain(model.facts)}, weights)


def fork(work: Callable[[], None]) -> int:
    """Run it in another process; return its exit status, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def survives(kill: Callable[[], None], expected: dict, where: Path, **options) -> bool:
    folder, weights = where / "run", where / "weights.pt"

    def killed() -> None:
        kill()
        run(folder, weights, False, **options)

    assert fork(killed) == -signal.SIGKILL
    for path in (folder / "checkpoints").glob("*.ckpt"):
        torch.load(path, weights_only=True)
    assert fork(lambda: run(folder, weights, True, **options)) == 0
    resumed = torch.load(weights, weights_only=True)
    with (folder / "logs" / "metrics.csv").open() as file:
        logged = [int(row["step"]) for row in csv.DictReader(file)]
    assert logged == [row["step"] for row in expected["history"]]
    pairs = [(tensor, resumed["model"][name]) for name, tensor in expected["model"].items()]
    equal = all(torch.equal(one.nan_to_num(7), other.nan_to_num(7)) for one, other in pairs)
    return equal and all(resumed[name] == expected[name] for name in ("history", "facts"))


def main(thorough: bool) -> None:
    kills = [
        ("in the middle of a stage, no checkpoint within it", partial(at_step, 8), None),
        ("in the middle of a stage", partial(at_step, 23), 3),
        ("while writing", partial(while_writing, 6), 2),
        ("between a stage's end and the next", partial(after_writing, 2), None),
        *((f"in the end action {name}", partial(in_action, name), 1) for name in end_actions()),
    ]
    if thorough:
        kills += [(f"write {n}", partial(while_writing, n), 1) for n in range(3, 42, 2)]
        kills += [(f"after {n}", partial(after_writing, n), 1) for n in range(2, 42, 2)]
        kills += [(f"step {n}", partial(at_step, n), 2) for n in range(1, 35, 3)]
    for workers, accumulate in ((0, 1), (2, 2)):
        options = {"workers": workers, "accumulate": accumulate}
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder)
            assert fork(partial(run, where / "run", where / "weights.pt", False, **options)) == 0
            expected = torch.load(where / "weights.pt", weights_only=True)
        for name, kill, every in kills if thorough or not workers else kills[1:3]:
            with tempfile.TemporaryDirectory() as folder:
                ok = survives(kill, expected, Path(folder), checkpoint_every_steps=every, **options)
                print(f"{'same' if ok else 'DIFFERENT'}: {name}, {workers} workers", flush=True)


if __name__ == "__main__":
    main("--thorough" in sys.argv)
