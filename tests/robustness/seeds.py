"""Valid inputs that several kinds start from: tiny images, a folder of them, and runs trained on it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import resemblance
from cases import case_of

CLASSES = ("bright", "dark", "mixed")
SIDE = 16


def pixels(seed: int, channels: int = 1, width: int = SIDE) -> np.ndarray:
    """Make the pixels (H, W) or (H, W, C) of an image; its class is ``seed % 3``."""
    shape = (SIDE, width) if channels == 1 else (SIDE, width, channels)
    low, high = ((128, 256), (0, 128), (0, 256))[seed % 3]
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_folder(folder: Path, per_class: int = 8) -> Path:
    """Make a folder of class folders with grey PNG files."""
    for number in range(per_class * len(CLASSES)):
        path = folder / CLASSES[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(Image.fromarray(pixels(number)), "PNG"))
    return folder


def options_of(method: str) -> dict[str, Any]:
    """Return the options of a run of a method that takes a second."""
    case = case_of(method)
    return {**case.settings, "epochs": case.epochs, "image_size": SIDE, "batch_size": 8, "accelerator": "cpu"}


def train_runs(folder: Path, data: Path, methods: Sequence[str]) -> dict[str, Path]:
    """Train each method and return its run folder."""
    for method in methods:
        resemblance.train(method, str(data), folder / method, **options_of(method))
    return {method: folder / method for method in methods}
