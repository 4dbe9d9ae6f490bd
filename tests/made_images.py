"""Small made-up image files, folders and archives."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from PIL import Image

from resemblance.config.errors import UserError


def noise(seed=0, size=(8, 8), channels=3):
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def encoded(image, kind="PNG", **options):
    """The bytes of a picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed=0, size=(8, 8), channels=3):
    return encoded(noise(seed, size, channels))


def files_of(counts):
    """{"train/cat": 3} as {"train/cat/0.png": bytes, ...}, all pictures different."""
    names = [f"{folder}/{number}.png" for folder, count in counts.items() for number in range(count)]
    return {name: png(seed) for seed, name in enumerate(names)}


def fill(root, counts):
    """Write class folders with a number of pictures each; a folder of none stays empty."""
    for folder in counts:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, data in files_of(counts).items():
        (root / name).write_bytes(data)
    return root


def zip_of(path, contents, method=zipfile.ZIP_STORED):
    """Write an archive of {name: bytes}."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def refusal(function, *arguments, **options):
    """The message of the one clear line with which a call must refuse."""
    try:
        function(*arguments, **options)
    except UserError as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        assert message.isprintable()
        return message
    raise AssertionError("accepted")
