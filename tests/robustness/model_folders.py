"""Model folders of every method, whose checksums are right in most cases, so that what is behind them is reached."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors

import resemblance
from cases import METHODS
from resemblance.store import CONFIG, TENSORS
from robustness import structures
from robustness.kind import Kind, command, inspect, use
from robustness.malice import Trap
from robustness.mutations import mutate
from robustness.seeds import data_folder, train_runs
from robustness.weights import change_header

INDEX = "prototypes/index.json"
Folder = dict[str, bytes]


@dataclass
class Seeds:
    """The files of the model folder of each method, and the trap."""

    folders: dict[str, Folder]
    trap: Trap


def prepare(folder: Path, trap: Trap) -> Seeds:
    """Train every method, and convert the black box."""
    data = data_folder(folder / "data")
    runs = train_runs(folder, data, METHODS)
    resemblance.convert(runs["blackbox"], output=folder / "converted", force=True, accelerator="cpu")
    return Seeds(
        {
            name: read_files(path / "model")
            for name, path in (*runs.items(), ("converted", folder / "converted"))
        },
        trap,
    )


def read_files(folder: Path) -> Folder:
    """Return the contents of all files of a folder, by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_files(folder: Path, files: Folder) -> None:
    """Write files into a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def attempt(rng: Random, seeds: Seeds, place: Path) -> None:
    """Damage a model folder, load it, and explain, measure and list prototypes with it."""
    folder = place / "model"
    write_files(folder, damaged(rng, seeds.folders[rng.choice(list(seeds.folders))], seeds))
    if rng.random() < 0.05:
        _change_place(rng, folder, seeds.trap)
    inspect(folder)
    if rng.random() < 0.01:
        command("prototypes", folder, "--output", place / "prototypes.png")
    else:
        use(resemblance.load(folder))


def damaged(rng: Random, files: Folder, seeds: Seeds) -> Folder:
    """Return the files of a model folder with one of them damaged."""
    files, document = dict(files), json.loads(files[CONFIG])
    what = rng.random()
    if what < 0.45:
        changed = structures.mutate(
            rng, {key: value for key, value in document.items() if key != "checksums"}
        )
        if isinstance(changed, dict):
            document = {**changed, "checksums": document["checksums"]}
    elif what < 0.55 and INDEX in files:
        files[INDEX] = structures.json_text(structures.mutate(rng, json.loads(files[INDEX]))).encode()
    elif what < 0.75:
        files[TENSORS] = _change_tensors(rng, files[TENSORS], seeds)
    elif what < 0.85:
        name = rng.choice([name for name in files if name not in (CONFIG, TENSORS)] or [TENSORS])
        files[name] = mutate(rng, files[name], list(files.values()))
    elif what < 0.9:
        name = rng.choice(list(files))
        files[f"prototypes/{rng.choice(('x.png', 'a/b.png', 'index.json', 'x' * 200))}"] = files[name]
        files.pop(name, None) if name != CONFIG else None
    elif what < 0.95:
        document["checksums"] = structures.mutate(rng, document["checksums"])
        return files | {CONFIG: structures.json_text(document).encode()}
    if rng.random() < 0.95:
        document["checksums"] = _checksums(files, document)
    text = structures.json_text(document).encode()
    return files | {CONFIG: mutate(rng, text) if rng.random() < 0.05 else text}


def _change_tensors(rng: Random, data: bytes, seeds: Seeds) -> bytes:
    what = rng.random()
    if what < 0.2:
        return mutate(rng, data)
    if what < 0.4:
        return change_header(rng, data)
    if what < 0.42:
        return seeds.trap.pickled(rng)
    tensors = load_tensors(data)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(sorted(tensors))  # safetensors returns them in an order of its own
        tensor = tensors[name].clone()
        change = rng.random()
        if change < 0.5 and tensor.numel():
            edge = rng.choice((0, -1, 1, 1000, 2**40, float("nan"), float("inf"), 1e38, -1e38))
            chosen = slice(None) if rng.random() < 0.5 else slice(rng.randrange(tensor.numel()), None, 7)
            floating = tensor.is_floating_point() or tensor.is_complex()
            tensor.view(-1)[chosen] = edge if floating or (edge == edge and abs(edge) < 2**62) else 5
        elif change < 0.7:
            tensor = rng.choice(
                (
                    tensor[None],
                    tensor.flatten(),
                    tensor[:0] if tensor.dim() else tensor[None],
                    tensor.repeat([2] * max(tensor.dim(), 1)),
                )
            )
        elif change < 0.8:
            tensor = tensor.to(
                rng.choice((torch.float64, torch.float16, torch.int64, torch.bool, torch.uint8))
            )
        elif change < 0.9:
            del tensors[name]
            continue
        tensors[name if change < 0.95 else rng.choice(("x", "prototypes.x", ""))] = tensor
        if not tensors:
            break
    return dump_tensors(tensors)


def _checksums(files: Folder, document: dict[str, object]) -> dict[str, str]:
    """Return right checksums, so far as there are any."""
    try:
        plain = json.loads(
            structures.json_text({k: v for k, v in document.items() if k not in ("checksums", "format")})
        )
        text = json.dumps(plain, sort_keys=True)
    except (ValueError, RecursionError, TypeError):
        text = ""
    told = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != CONFIG}
    return {CONFIG: hashlib.sha256(text.encode()).hexdigest(), **told}


def _change_place(rng: Random, folder: Path, trap: Trap) -> None:
    """Change the files themselves: links, folders, pipes, forbidden and foreign ones."""
    path = rng.choice(sorted(folder.rglob("*")))
    what = rng.randrange(6)
    if path.is_dir() or what == 0:
        (folder / f"loose{rng.choice(('.pkl', '.pt', '.py'))}").write_bytes(trap.pickled(rng))
        return
    path.unlink()
    if what == 1:
        path.symlink_to(rng.choice(("/etc/hostname", "nothing", "/dev/zero", path.name)))
    elif what == 2:
        path.mkdir()
    elif what == 3:
        os.mkfifo(path)
    elif what == 4:
        path.write_bytes(b"")


KIND = Kind(12, prepare, attempt)
