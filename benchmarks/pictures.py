"""What reading pictures costs: large JPEGs, opening a folder of them, later epochs.

    python benchmarks/pictures.py [--json FILE] [--only NAME ...] [--list] [--quick]

The pictures are made here: noise of all scales, as photographs have it, saved as JPEG of quality 90.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from timing import Measurement, print_table, rounds, taken

from resemblance.config.image import ImageSpec
from resemblance.data import ImageDataset, loader, open_data, read_image
from resemblance.data.pixels.keep_pixels import keep_pixels
from resemblance.data.sources.loose import loose_images

SPEC = ImageSpec(224, 224, 3, (0.5,) * 3, (0.25,) * 3, draft=True)
LARGE = 4000, 3000


def photograph(size: tuple[int, int], seed: int) -> bytes:
    """A JPEG of coloured noise at all scales; finer ones are weaker."""
    random, pixels = np.random.default_rng(seed), np.full((size[1], size[0], 3), 128, np.float32)
    for scale in (2, 8, 32, 128):
        shape = size[1] // scale + 1, size[0] // scale + 1, 3
        noise = Image.fromarray(random.integers(0, 256, shape, np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        pixels += (np.asarray(noise, np.float32) - 128) * min(scale / 64, 1)
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@contextmanager
def folder(size: tuple[int, int], count: int) -> Iterator[Path]:
    """A folder of two classes of photographs, whose widths differ."""
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            path = Path(name) / "ab"[number % 2] / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(photograph((size[0] + 8 * number, size[1]), number))
        yield Path(name)


def drafted(quick: bool) -> tuple[float, float]:
    """Reading a photograph of 12 megapixels for a model, drafted and in full."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.jpg"
        path.write_bytes(photograph(LARGE, 0))
        source, _ = loose_images(str(path), ["a", "b"])
        full = replace(SPEC, draft=False)
        return rounds(partial(source.pixels, 0, full), partial(source.pixels, 0, SPEC), 5 if quick else 25)


def later_epoch(quick: bool) -> tuple[float, float]:
    """The second epoch over photographs of 1200×900 pixels, in batches of 32, and the first."""
    with folder((1200, 900), 8 if quick else 32) as data:
        splits = open_data(str(data))

        def epoch() -> None:
            for _ in loader(ImageDataset(splits.train, SPEC), 32):
                pass

        first = taken(epoch)
        keep_pixels(splits, 1.0)
        epoch()
        later = min(taken(epoch) for _ in range(5))
        return later / first, first


def opening(quick: bool) -> tuple[float, float]:
    """Opening a folder of photographs of 12 megapixels, and decoding them once in full."""
    with folder(LARGE, 4 if quick else 8) as data:
        files = sorted(data.glob("*/*.jpg"))

        def decode() -> None:
            for file in files:
                read_image(file)

        return rounds(decode, lambda: open_data(str(data), val_fraction=0.5), 1 if quick else 5)


MEASUREMENTS = {
    "draft": Measurement(
        "a large JPEG for a model / decoded in full", drafted, 0.4, "12 megapixels, 224 px, resize in both"
    ),
    "later-epoch": Measurement(
        "second epoch / first", later_epoch, 0.03, "photographs of 1 megapixel, 224 px"
    ),
    "opening": Measurement("opening large JPEGs / decoding them once", opening, 0.5, "8 of 12 megapixels"),
}


if __name__ == "__main__":
    print_table(MEASUREMENTS, __doc__)
