"""Weights files: safetensors, and PyTorch's pickles old and new, which must run no code."""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save as dump_tensors
from torch import Tensor

import resemblance
from resemblance.config.encoder import EncoderConfig
from resemblance.config.files.named_files import PICKLED
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import build_encoder
from robustness import structures
from robustness.kind import Kind
from robustness.malice import Trap
from robustness.mutations import mutate
from robustness.seeds import CLASSES, SIDE, data_folder

IMAGE = ImageSpec(SIDE, SIDE, 1, (0.5,), (0.5,))
WRAPPERS = ("state_dict", "model", "module", "weights", "ema", "optimizer", "x")
PREFIXES = ("", "module.", "model.", "backbone.", "encoder.net.")


@dataclass
class Seeds:
    """The tensors of a network, a folder of images to convert it with, and the trap."""

    tensors: dict[str, Tensor]
    data: Path
    trap: Trap


def prepare(folder: Path, trap: Trap) -> Seeds:
    """Make a small network for the classes of the images."""
    torch.manual_seed(0)
    network = build_encoder(EncoderConfig(encoder="small"), IMAGE, len(CLASSES))
    return Seeds(dict(network.state_dict()), data_folder(folder / "data"), trap)


def attempt(rng: Random, seeds: Seeds, place: Path) -> None:
    """Write a damaged or foreign weights file, and build the network with it, or convert it."""
    suffix = rng.choice((".safetensors", ".safetensors", *PICKLED, rng.choice((".npz", ".pkl", "", ".h5"))))
    path = place / f"weights{suffix}"
    path.write_bytes(_safetensors(rng, seeds) if suffix == ".safetensors" else _pickled(rng, seeds))
    if rng.random() < 0.03:
        options: dict[str, Any] = {"accelerator": "cpu", "image_size": SIDE, "force": rng.random() < 0.7}
        resemblance.convert("small", str(seeds.data), place / "run", weights=str(path), **options)
        return
    config = EncoderConfig(encoder="small", weights=str(path))
    encoder = build_encoder(config, IMAGE, rng.choice((None, len(CLASSES), 5))).eval()
    with torch.no_grad():
        encoder.features(torch.zeros(1, 1, SIDE, SIDE))


def _content(rng: Random, seeds: Seeds) -> dict[str, Any]:
    """Return the tensors under other names, and some of them changed."""
    prefix = rng.choice(PREFIXES)
    tensors: dict[str, Any] = {prefix + name: tensor for name, tensor in seeds.tensors.items()}
    for _ in range(rng.choice((0, 0, 1, 2))):
        name = rng.choice(list(tensors))
        tensors[name] = _changed(rng, tensors[name])
        if rng.random() < 0.2:
            tensors[rng.choice(("x", "", "a" * 10_000, "\x1b[31m", f"{name}.x", "\ud7ff"))] = tensors.pop(
                name
            )
    return tensors


def _changed(rng: Random, tensor: Tensor) -> Tensor:
    values = tensor.clone()
    if values.numel():
        edges = (0, 1e30, float("nan"), float("inf")) if values.is_floating_point() else (-1, 2**40)
        values.view(-1)[rng.randrange(values.numel())] = rng.choice(edges)
    return rng.choice(
        (
            values,
            tensor.flatten(),
            tensor[None],
            tensor[:0] if tensor.dim() else tensor,
            torch.zeros(()),
            tensor.expand(2, *tensor.shape),
            tensor.double(),
            tensor.half(),
            tensor.to(torch.bfloat16),
            tensor.to(torch.int64),
            tensor.bool(),
        )
    )


def _safetensors(rng: Random, seeds: Seeds) -> bytes:
    tensors = {name: tensor.contiguous().clone() for name, tensor in _content(rng, seeds).items()}
    data = dump_tensors(tensors)
    what = rng.random()
    if what < 0.4:
        return mutate(rng, data)
    if what < 0.8:
        return change_header(rng, data)
    return rng.choice((data, seeds.trap.pickled(rng)))


def change_header(rng: Random, data: bytes) -> bytes:
    """Change the structure of a safetensors header, whose length stays right in most cases."""
    (size,) = struct.unpack("<Q", data[:8])
    header = structures.json_text(structures.mutate(rng, json.loads(data[8 : 8 + size]))).encode()
    told = len(header) if rng.random() < 0.9 else rng.choice((0, 2**20, 2**40, 2**63, len(header) - 1))
    return struct.pack("<Q", told) + header + data[8 + size :]


def _pickled(rng: Random, seeds: Seeds) -> bytes:
    what = rng.random()
    if what < 0.1:
        return seeds.trap.pickled(rng)
    content: Any = _content(rng, seeds)
    if rng.random() < 0.2:
        content[rng.choice(list(content))] = _foreign(rng, seeds)
    for _ in range(rng.choice((0, 0, 1, 2, 6))):
        content = {
            rng.choice(WRAPPERS): content,
            "epoch": 3,
            "other": _foreign(rng, seeds) if rng.random() < 0.2 else None,
        }
    buffer = io.BytesIO()
    new = rng.random() < 0.6
    torch.save(content, buffer, _use_new_zipfile_serialization=new, pickle_protocol=rng.choice((2, 2, 4)))
    data = buffer.getvalue() if new else _without_addresses(buffer.getvalue())
    if what < 0.5:
        return mutate(rng, data)
    if what < 0.85:
        return change_entry(rng, data, seeds.trap) if new else _change_pickle(rng, data)
    return _tar(rng, seeds) if what < 0.9 else data


def _without_addresses(data: bytes) -> bytes:
    """Number the storages in PyTorch's old format, which are named by their addresses, other ones in each process."""
    numbers: dict[bytes, bytes] = {}

    def number(match: re.Match[bytes]) -> bytes:
        return numbers.setdefault(match[0], str(len(numbers)).zfill(len(match[0])).encode())

    return re.sub(rb"\d{14,15}", number, data)


def _foreign(rng: Random, seeds: Seeds) -> Any:
    """Return what is no tensor, or no usual one."""
    kinds = (
        lambda: seeds.trap.object(rng),
        lambda: structures.strange(rng),
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.empty(10**6, device="meta"),
        lambda: torch.zeros(1).expand(2**40),
        lambda: torch.nn.Linear(2, 2),
        lambda: torch.nn.Parameter(torch.zeros(2)),
        lambda: torch.zeros(2, dtype=torch.complex64),
    )
    return rng.choice(kinds)()


def change_entry(rng: Random, data: bytes, trap: Trap) -> bytes:
    """Change an entry of PyTorch's zip archive, most often the pickle, and zip it again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickles = [name for name in entries if name.endswith("data.pkl")]
    name = rng.choice(list(entries) if rng.random() < 0.3 else pickles)
    what = rng.random()
    if what < 0.7:
        entries[name] = _change_pickle(rng, entries[name])
    elif what < 0.8:
        entries[name] = trap.pickled(rng)
    elif what < 0.9:
        del entries[name]
    else:
        entries[rng.choice(("data.pkl", "x/data.pkl", "constants.pkl", "../x", "code/x.py"))] = entries[name]
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_STORED if rng.random() < 0.9 else zipfile.ZIP_DEFLATED
    ) as archive:
        for entry, body in entries.items():
            archive.writestr(entry, body)
    return buffer.getvalue()


def _change_pickle(rng: Random, data: bytes) -> bytes:
    """Change the words and opcodes of a pickle near its start."""
    words = (
        (b"OrderedDict", b"Counter"),
        (b"_rebuild_tensor_v2", b"_rebuild_parameter"),
        (b"FloatStorage", b"LongStorage"),
    )
    words += (
        (b"collections", b"builtins"),
        (b"_rebuild_tensor_v2", b"_load_from_bytes"),
        (b"torch._utils", b"os\nsystem"),
    )
    words += ((b"cpu", b"cuda:7"), (b"storage", b"module"), (b"FloatStorage", b"UntypedStorage"))
    if rng.random() < 0.4:
        old, new = rng.choice(words)
        return data.replace(old, new, rng.choice((1, -1)))
    return mutate(rng, data)


def _tar(rng: Random, seeds: Seeds) -> bytes:
    """Return the oldest format of PyTorch, a tar archive, with a pickle that runs code."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            body = seeds.trap.pickled(rng) if rng.random() < 0.5 else pickle.dumps(3, 2)
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


KIND = Kind(15, prepare, attempt)
