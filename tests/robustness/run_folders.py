"""Run folders: what a run leaves beside its model, read by evaluate, report, convert and train --resume."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml

import resemblance
from resemblance.training.checksums import add_checksum
from robustness import structures
from robustness.configs import pieces, yaml_text
from robustness.kind import Kind, check_plain, command, inspect
from robustness.malice import Trap
from robustness.mutations import mutate
from robustness.seeds import data_folder, options_of, train_runs
from robustness.weights import change_entry
from stopping import Stop, stopping

METHODS = ("prototypedl", "senn", "protovae", "protopnet")
UNFINISHED = "unfinished"


@dataclass
class Seeds:
    """Runs by name, the images they were trained on, pieces of YAML, and the trap."""

    runs: dict[str, Path]
    data: Path
    pieces: tuple[str, ...]
    trap: Trap


def prepare(folder: Path, trap: Trap) -> Seeds:
    """Train runs, one of them up to a checkpoint within a stage."""
    data = data_folder(folder / "data")
    runs = train_runs(folder, data, METHODS)
    for run in runs.values():  # the same bytes in every process
        measured = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps({**measured, "seconds": 60.0}))
    unfinished = folder / UNFINISHED
    with stopping(3):
        try:
            _train("prototypedl", data, unfinished)
        except Stop:
            runs[UNFINISHED] = unfinished
    return Seeds(runs, data, pieces(trap), trap)


def _train(method: str, data: Path, folder: Path, **options: Any) -> None:
    resemblance.train(method, str(data), folder, **options_of(method), checkpoint_every_steps=1, **options)


def attempt(rng: Random, seeds: Seeds, place: Path) -> None:
    """Damage a file of a run, and use the run as the commands that read this file do."""
    name = rng.choice(list(seeds.runs))
    folder = place / "run"
    shutil.copytree(seeds.runs[name], folder)
    paths = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    checkpoints = [path for relative, path in paths.items() if relative.startswith("checkpoints/")]
    what = rng.random()
    if name == UNFINISHED or what < 0.2:
        _damage_checkpoint(rng, rng.choice(checkpoints), seeds.trap)
        _train("prototypedl" if name == UNFINISHED else name, seeds.data, folder, resume=True)
    elif what < 0.45:
        (folder / "config.yaml").write_bytes(
            yaml_text(rng, yaml.safe_load(paths["config.yaml"].read_text()), seeds.pieces)
        )
        _use(rng, folder, place)
    elif what < 0.75:
        text = structures.json_text(structures.mutate(rng, json.loads(paths["metrics.json"].read_text())))
        data = text.encode()
        (folder / "metrics.json").write_bytes(mutate(rng, data) if rng.random() < 0.2 else data)
        _use(rng, folder, place, report=0.5)
    elif what < 0.95 and (snapshots := [path for path in paths.values() if path.parent.name == "snapshots"]):
        path = rng.choice(snapshots)
        path.write_bytes(_damage_snapshot(rng, path.read_bytes(), seeds.trap))
        resemblance.report(resemblance.open_run(folder), place / "report.html", explain=0)
    else:
        path = rng.choice(list(paths.values()))
        path.write_bytes(mutate(rng, path.read_bytes()))
        _use(rng, folder, place)


def _use(rng: Random, folder: Path, place: Path, report: float = 0.05) -> None:
    """Open a run, and measure it, report it, or convert it."""
    inspect(folder)
    run = resemblance.open_run(folder)
    assert isinstance(run.metrics, dict)
    assert isinstance(run.notes, list)
    assert isinstance(run.configuration, str)
    what = rng.random()
    if what < report:
        resemblance.report(run, place / "report.html", explain=rng.choice((0, 1)))
    elif what < report + 0.05:
        command("evaluate", folder, "--output", place / "evaluation.json")
    elif what < report + 0.1:
        resemblance.convert(folder, output=place / "converted", force=True, accelerator="cpu")
    else:
        check_plain(resemblance.evaluate(run, split=rng.choice(("auto", "train", "val", "test"))).to_dict())


def _damage_checkpoint(rng: Random, path: Path, trap: Trap) -> None:
    data = path.read_bytes()
    what = rng.random()
    if what < 0.2:
        path.write_bytes(mutate(rng, data))
        return
    if what < 0.3:
        path.unlink()
        return
    content = torch.load(path, weights_only=True)
    if what < 0.4:
        content[rng.choice(list(content))] = trap.object(rng)
    elif what < 0.8:
        content = _change_state(rng, content)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    if what >= 0.8:
        buffer = io.BytesIO(change_entry(rng, buffer.getvalue(), trap))
    add_checksum(buffer)
    path.write_bytes(buffer.getvalue())


def _change_state(rng: Random, content: dict[str, Any]) -> Any:
    """Change the structure of a state, tensors included, without copying these."""
    key = rng.choice(list(content))
    value = content[key]
    if isinstance(value, torch.Tensor) or rng.random() < 0.3:
        return {**content, key: rng.choice((structures.strange(rng), torch.zeros(3), None))}
    if isinstance(value, dict) and value and rng.random() < 0.6:
        return {**content, key: _change_state(rng, value)}
    return {**content, key: structures.mutate(rng, value)}


def _damage_snapshot(rng: Random, data: bytes, trap: Trap) -> bytes:
    if rng.random() < 0.3:
        return mutate(rng, data)
    with np.load(io.BytesIO(data)) as stored:
        arrays = dict(stored)
    name = rng.choice(list(arrays))
    array = arrays.pop(name)
    what = rng.randrange(6)
    changes = (
        array[None],
        array[:0] if array.ndim else array[None],
        array.astype(rng.choice(("f8", "i8", "?", "c8", "U3"))),
        np.full_like(array, rng.choice((np.nan, np.inf, 1e30))) if array.dtype.kind == "f" else array,
        np.array([trap.object(rng)], dtype=object),
        array.flatten(),
    )
    if rng.random() < 0.9:
        arrays[name if rng.random() < 0.9 else "x"] = changes[what]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    if rng.random() < 0.9:
        add_checksum(buffer)
    return buffer.getvalue()


KIND = Kind(6, prepare, attempt)
