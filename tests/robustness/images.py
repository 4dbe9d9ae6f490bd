"""Image files of all formats and modes, in a data folder and to be explained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, features

import resemblance
from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.data.dataset import ImageDataset
from resemblance.data.images import SUFFIXES
from robustness.kind import Kind, command, explain
from robustness.malice import Trap
from robustness.mutations import mutate
from robustness.seeds import CLASSES, data_folder, encoded, pixels, train_runs


@dataclass
class Seeds:
    """Valid image files by name, the folder of a run, and its model."""

    files: dict[str, bytes]
    run: Path
    model: Classifier


def prepare(folder: Path, trap: Trap) -> Seeds:
    """Encode images in every format and mode, and train a model to explain them."""
    run = train_runs(folder, data_folder(folder / "data"), ["prototypedl"])["prototypedl"]
    return Seeds(image_files(), run, resemblance.load(run))


def image_files() -> dict[str, bytes]:
    """Return image files of every format and mode that is read."""
    grey, rgb, rgba = (Image.fromarray(pixels(channels, channels, 12)) for channels in (1, 3, 4))
    deep = Image.fromarray(pixels(2).astype(np.uint16) * 257)
    palette = rgb.convert("P")
    turned = Image.Exif()
    turned[0x0112] = 6
    small: dict[str, Any] = {"save_all": True, "append_images": [rgb.rotate(90)]}
    files = {
        "grey.png": encoded(grey, "PNG"),
        "rgb.png": encoded(rgb, "PNG", exif=turned),
        "rgba.png": encoded(rgba, "PNG"),
        "grey-alpha.png": encoded(rgba.convert("LA"), "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=3),
        "bits.png": encoded(grey.convert("1"), "PNG"),
        "deep.png": encoded(deep, "PNG"),
        "moving.png": encoded(rgb, "PNG", **small),
        "grey.jpg": encoded(grey, "JPEG"),
        "turned.jpg": encoded(rgb, "JPEG", exif=turned),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG"),
        "palette.gif": encoded(palette, "GIF"),
        "moving.gif": encoded(rgb, "GIF", **small),
        "rgb.bmp": encoded(rgb, "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "rgb.tif": encoded(rgb, "TIFF"),
        "rgba.tif": encoded(rgba, "TIFF"),
        "deep.tif": encoded(deep, "TIFF"),
        "pages.tif": encoded(grey, "TIFF", save_all=True, append_images=[grey]),
        "float.tif": encoded(Image.fromarray(pixels(1).astype(np.float32) / 255), "TIFF"),
        "whole.tif": encoded(Image.fromarray(pixels(1).astype(np.int32)), "TIFF"),
        "grey.pgm": encoded(grey, "PPM"),
        "deep.pgm": encoded(deep, "PPM"),
        "rgb.ppm": encoded(rgb, "PPM"),
        "icon.ico": encoded(rgba, "ICO"),
        "old.pcx": encoded(rgb, "PCX"),
        "text.pgm": b"P2 3 2 255\n0 1 2\n3 4 255\n",
    }
    if features.check("libtiff"):
        names = ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        files |= {f"{name}.tif": encoded(rgb, "TIFF", compression=name) for name in names}
        files["fax.tif"] = encoded(grey.convert("1"), "TIFF", compression="group4")
    if features.check("webp"):
        files["lossy.webp"] = encoded(rgb, "WEBP")
        files["lossless.webp"] = encoded(rgba, "WEBP", lossless=True)
        files["moving.webp"] = encoded(rgb, "WEBP", **small)
    if features.check("jpg_2000"):
        files["rgb.jp2"] = encoded(rgb, "JPEG2000")
    if features.check("avif"):
        files["rgb.avif"] = encoded(rgb, "AVIF")
    return files


def attempt(rng: Random, seeds: Seeds, place: Path) -> None:
    """Damage an image, and read it as training, explaining and the command do."""
    name = rng.choice(list(seeds.files))
    data = mutate(rng, seeds.files[name], list(seeds.files.values()))
    if rng.random() < 0.1:
        name = Path(name).stem + rng.choice((*SUFFIXES, "", ".txt", ".npy"))
    way = rng.random()
    if way < 0.01:
        (place / name).write_bytes(data)
        command("explain", seeds.run, place / name, "--output", place / "why.png")
    elif way < 0.6:
        (place / name).write_bytes(data)
        explain(seeds.model, place / name if rng.random() < 0.8 else data)
    else:
        _train_on(rng, seeds, place, name, data)


def _train_on(rng: Random, seeds: Seeds, place: Path, name: str, data: bytes) -> None:
    data_folder(place / "data", 3)
    (place / "data" / rng.choice(CLASSES) / name).write_bytes(data)
    skip = rng.random() < 0.5
    try:
        splits = resemblance.open_data(str(place / "data"), seed=rng.randrange(9), skip_bad_images=skip)
    except UserError:
        assert not skip, "the other images were enough"
        raise
    for source in (splits.train, splits.val, splits.test):
        if source is not None:
            batch = ImageDataset(source, seeds.model.spec.image).__getitems__(list(range(len(source))))
            assert batch.images.isfinite().all()


KIND = Kind(26, prepare, attempt)
