"""Archives and arrays: .npz, IDX, CIFAR-10's binary files, zip archives of images."""

from __future__ import annotations

import gzip
import io
import struct
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

import resemblance
from resemblance.config.image import ImageSpec
from resemblance.data.dataset import ImageDataset
from robustness.kind import Kind
from robustness.malice import Trap
from robustness.mutations import EDGES, mutate
from robustness.seeds import CLASSES, encoded, pixels

SPEC = ImageSpec(16, 16, 1, (0.5,), (0.5,))
BOMB = 64 << 20  # bytes
DTYPES = ("<u1", "|b1", "<u2", ">i8", "<f4", "<f8", "<c8", "|O", "<U3", "|S2", "|V4", "<M8[s]", "<m8[D]")


@dataclass
class Seeds:
    """The files of data sets by their names, for each word that opens them; what unpacks to much; and the trap."""

    sets: dict[str, dict[str, bytes]]
    bomb: bytes
    trap: Trap


def prepare(folder: Path, trap: Trap) -> Seeds:
    """Make a small data set of each kind."""
    grey = np.stack([pixels(number) for number in range(18)])
    colour = np.stack([pixels(number, 3) for number in range(18)])
    labels = np.arange(18) % 3
    images = {
        f"{CLASSES[number % 3]}/{number}.png": encoded(Image.fromarray(pixels(number)), "PNG")
        for number in range(9)
    }
    halves = {"train": (grey, labels), "t10k": (grey[:6], labels[:6])}
    idx = {}
    for half, (part, numbers) in halves.items():
        idx[f"{half}-images-idx3-ubyte"] = struct.pack(">4B3I", 0, 0, 8, 3, *part.shape) + part.tobytes()
        idx[f"{half}-labels-idx1-ubyte"] = (
            struct.pack(">4BI", 0, 0, 8, 1, len(part)) + numbers.astype("u1").tobytes()
        )
    cifar = np.random.default_rng(0).integers(0, 256, (4, 3073), dtype=np.uint8)
    cifar[:, 0] %= 10
    batches = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
    arrays = {
        "train_images": grey,
        "train_labels": labels[:, None],
        "test_images": grey,
        "test_labels": labels,
    }
    sets = {
        "medmnist.npz": {"medmnist.npz": _npz(arrays)},
        "colour.npz": {
            "colour.npz": _npz({"train_images": colour, "train_labels": labels.astype(np.uint8)}, True)
        },
        "mnist:.": idx,
        "fashion-mnist:.": {f"{name}.gz": gzip.compress(data) for name, data in idx.items()},
        "cifar10:.": {name: cifar.tobytes() for name in batches},
        "images.zip": {"images.zip": _zip(images, zipfile.ZIP_STORED)},
        "packed.zip": {"packed.zip": _zip(images, zipfile.ZIP_DEFLATED)},
        "split.zip": {
            "split.zip": _zip(
                {f"{part}/{name}": data for part in ("train", "test") for name, data in images.items()}
            )
        },
    }
    return Seeds(sets, bytes(BOMB), trap)


def attempt(rng: Random, seeds: Seeds, place: Path) -> None:
    """Damage a file of a data set, and read all its images."""
    word = rng.choice(list(seeds.sets))
    files = dict(seeds.sets[word])
    name = rng.choice(list(files))
    files[name] = _damage(rng, seeds, name, files[name])
    for other, data in files.items():
        (place / other).write_bytes(data)
    kind, colon, path = word.rpartition(":")
    splits = resemblance.open_data(f"{kind}{colon}{place / path}", skip_bad_images=rng.random() < 0.3)
    for source in (splits.train, splits.val, splits.test):
        if source is not None:
            ImageDataset(source, SPEC).__getitems__(list(range(min(len(source), 30))))


def _damage(rng: Random, seeds: Seeds, name: str, data: bytes) -> bytes:
    others = [file for files in seeds.sets.values() for file in files.values()]
    if rng.random() < 0.4:
        return mutate(rng, data, others)
    if name.endswith(".npz"):
        return _change_arrays(rng, seeds, data)
    if name.endswith(".zip"):
        return _change_entries(rng, seeds, data)
    if name.endswith(".gz"):
        inner = bytearray(gzip.decompress(data))
        inner = seeds.bomb if rng.random() < 0.02 else mutate(rng, bytes(inner), others)
        return gzip.compress(inner, 1)
    changed = bytearray(data)  # the shape of an IDX file, the label of a record
    struct.pack_into(">I", changed, rng.choice((0, 4, 4, 8)), rng.choice(EDGES))
    return bytes(changed)


def _change_arrays(rng: Random, seeds: Seeds, data: bytes) -> bytes:
    """Change an array of an .npz file, or its header, behind which the rest stays as it is."""
    entries = {name: content for name, content in _entries(data).items()}
    name = rng.choice(list(entries))
    array = np.load(io.BytesIO(entries[name]))
    what = rng.randrange(8)
    if what == 0:
        entries[name] = _npy(array.astype(rng.choice(("u1", "i8", "f4", "f8", "?", "U3"))))
    elif what == 1:
        entries[name] = _npy(
            array.reshape(rng.choice(((-1,), (1, *array.shape), (*array.shape, 1), (len(array), -1))))
        )
    elif what == 2:
        entries[name] = _npy(array[: rng.randrange(len(array))])
    elif what == 3:
        changed = array.astype("f8") if rng.random() < 0.3 else array.astype("i8")
        changed.flat[rng.randrange(changed.size)] = rng.choice((-1, 2**40, 3, 7, 2**62))
        entries[name] = _npy(changed)
    elif what == 4:
        entries[name] = _npy(np.array([seeds.trap.object(rng)] * len(array), dtype=object))
    elif what == 5:
        header = _header(rng, array)
        entries[name] = header + array.tobytes()
    elif what == 6:
        entries[rng.choice(("val_images.npy", "train_images", "x.npy", f"{name}.npy", "../up.npy"))] = (
            entries.pop(name)
        )
    else:
        entries[name] = mutate(rng, entries[name], list(entries.values()))
    if rng.random() < 0.02:
        entries[name] = _npy(array)[:128] + seeds.bomb
    return _zip(entries, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))


def _header(rng: Random, array: np.ndarray) -> bytes:
    """Return an .npy header that lies about the array behind it."""
    sizes = (*array.shape, 0, -1, 2**31, 2**40, 2**63, True, 1.5)
    shape = rng.choice((array.shape, tuple(rng.choice(sizes) for _ in array.shape), rng.choice(sizes), [3]))
    kind = rng.choice(("|u1", rng.choice(DTYPES), [("a", "|O")], "<U999999999", "|V2147483647", None))
    fields = {"descr": kind, "fortran_order": rng.choice((False, True, None, 1)), "shape": shape}
    text = rng.choice((repr(fields), repr(fields), "__import__('trap').run()", "(" * 500 + ")" * 500, "{}"))
    body = text.encode() + b"\n"
    version = rng.choice((1, 1, 1, 2, 3, 9))
    size = len(body) if rng.random() < 0.8 else rng.choice(EDGES)
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack(*(("<H", size & 0xFFFF) if version == 1 else ("<I", size)))
        + body
    )


def _change_entries(rng: Random, seeds: Seeds, data: bytes) -> bytes:
    """Change names, attributes or contents of the entries of a zip archive."""
    entries = list(_entries(data).items())
    index = rng.randrange(len(entries))
    name, content = entries[index]
    what = rng.randrange(6)
    names = (
        f"../{name}",
        f"/{name}",
        name.replace("/", "\\"),
        f"C:/{name}",
        "",
        "a/" * 300 + "x.png",
        "train",
        ".hidden/x.png",
    )
    names += (
        f"train/{name}",
        f"{name}/",
        f"{name}/x.png",
        "\x1b[31m/x.png",
        "a\nb/x.png",
        "con/nul.png",
        "é/ü.png",
        entries[0][0],
    )
    if what == 0:
        entries[index] = rng.choice(names), content
    elif what == 1:
        entries.append((rng.choice(names), content))
    elif what == 2:
        del entries[index]
    elif what == 3:
        entries[index] = name, mutate(rng, content, [content])
    elif what == 4:
        entries = [
            (entry.replace(CLASSES[0], rng.choice((CLASSES[1], "test", "", "x" * 300))), body)
            for entry, body in entries
        ]
    elif rng.random() < 0.1:
        entries[index] = name, seeds.bomb
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w") as archive:  # a name twice
        for entry, body in entries:
            info = zipfile.ZipInfo(entry)
            info.external_attr = rng.choice((0, 0, 0, 0xA1FF0000)) if rng.random() < 0.1 else 0
            info.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            archive.writestr(info, body)
    return buffer.getvalue()


def _entries(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npz(arrays: dict[str, np.ndarray], packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


KIND = Kind(20, prepare, attempt)
