"""What ``evaluate --metrics`` reads beside a run: attributes, regions, and the state of one that was stopped."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
import torch
from PIL import Image

from resemblance.metrics.suite import partial
from resemblance.training.checksums import add_checksum
from robustness.kind import Kind, command
from robustness.malice import Trap
from robustness.mutations import mutate
from robustness.seeds import SIDE, data_folder, encoded, train_runs

METHOD = "protopnet"
FEW = ("--images", "4", "--steps", "2", "--batch-size", "2", "--split", "val", "--maps", "similarity")
CELLS = (
    "",
    "0",
    "1",
    "2",
    "-1",
    "nan",
    "inf",
    "1e400",
    "99999999999999999999",
    "true",
    "x",
    '"',
    "é",
    "\u2028",
)
RESUMED = "ghosting,relevance-ordering"


@dataclass
class Seeds:
    """A run, valid files by the options that read them, the name and content of a state, and the trap."""

    run: Path
    files: dict[str, tuple[str, bytes]]
    state: tuple[str, bytes]
    trap: Trap


def prepare(folder: Path, trap: Trap) -> Seeds:
    """Train a run, describe its images, and stop an evaluation of it before its state is removed."""
    data = data_folder(folder / "data")
    run = train_runs(folder, data, [METHOD])[METHOD]
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))
    rows = [f"{name},{number % 2},{number % 3 // 2}" for number, name in enumerate(names)]
    boxes = [f"{name},{number % 5},1,{8 + number % 8},{SIDE}" for number, name in enumerate(names)]
    masks = io.BytesIO()
    with zipfile.ZipFile(masks, "w") as archive:
        for name in names:
            archive.writestr(name, encoded(Image.new("L", (SIDE, SIDE), 255), "PNG"))
    files = {
        "attributes": ("table.csv", "\n".join(["image,even,third", *rows]).encode()),
        "boxes": ("boxes.csv", "\n".join(["file,x0,y0,x1,y1", *boxes]).encode()),
        "masks": ("masks.zip", masks.getvalue()),
    }
    out = folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partial, "SECONDS", 0.0)
        patch.setattr(partial.Partial, "remove", lambda self: None)
        _evaluate(run, RESUMED, out)
    [state] = out.glob(f"{partial.PREFIX}*")
    return Seeds(run, files, (state.name, state.read_bytes()), trap)


def attempt(rng: Random, seeds: Seeds, place: Path) -> None:
    """Damage a file, and measure the run with it; a damaged state must not keep it from being measured anew."""
    out = place / "out"
    if rng.random() < 0.2:
        out.mkdir()
        name, data = seeds.state
        (out / name).write_bytes(_damaged_state(rng, data, seeds.trap))
        _evaluate(seeds.run, RESUMED, out)
        assert not list(out.glob(".*")), "the state was left"
        return
    kind = rng.choice(list(seeds.files))
    name, data = seeds.files[kind]
    path = place / name
    path.write_bytes(
        _damaged_table(rng, data) if name.endswith(".csv") and rng.random() < 0.7 else mutate(rng, data)
    )
    if kind == "attributes":
        _evaluate(seeds.run, "attributes", out, "--attributes", path)
    else:
        metrics = rng.choice(("pointing-game,relevance-mass", "consistency,purity", "comprehensiveness"))
        _evaluate(seeds.run, metrics, out, "--regions", f"{kind}:{path}")


def _evaluate(run: Path, metrics: str, out: Path, *words: object) -> None:
    command("evaluate", run, "--metrics", metrics, *FEW, *words, "--output", out)


def _damaged_table(rng: Random, data: bytes) -> bytes:
    """Change, drop, double or move cells and rows."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 2, 5))):
        row = rng.randrange(len(rows))
        cell = rng.randrange(len(rows[row])) if rows[row] else 0
        change = rng.randrange(5)
        if change < 2:
            rows[row][cell : cell + 1] = [rng.choice(CELLS)]
        elif change == 2:
            del rows[row][cell : cell + 1]
        elif change == 3:
            rows.insert(rng.randrange(len(rows)), list(rows[row]))
        elif len(rows) > 1:
            del rows[row]
    return (
        rng.choice(("\n", "\r\n")).join(rng.choice((",", ",", ",", ";")).join(row) for row in rows).encode()
    )


def _damaged_state(rng: Random, data: bytes, trap: Trap) -> bytes:
    if rng.random() < 0.5:
        return mutate(rng, data)
    buffer = io.BytesIO()
    torch.save(trap.object(rng), buffer)
    if rng.random() < 0.5:
        add_checksum(buffer)
    return buffer.getvalue()


KIND = Kind(4, prepare, attempt)
