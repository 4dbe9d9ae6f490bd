"""Rendered cars: PrototypeDL's second case study, eleven angles of 183 car models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.published_files import PublishedData, find_folder
from resemblance.data.benchmarks.stored_arrays import read_matlab
from resemblance.data.progress import track
from resemblance.data.sources.source import ArraySource, DataSplits, Source
from resemblance.data.sources.split import complete
from resemblance.data.text import one_line, reason

CARS = PublishedData("the rendered cars", (("list.txt",),))
SIDE, STEP = 64, 15  # pixels, degrees
ANGLES = range(-75, 76, STEP)
ELEVATION = 0  # the first of four
TEST_SHARE = 14 / 183  # Li et al. 2018 test with 14 of 183 cars


def open_rendered_cars(request: DataRequest) -> DataSplits:
    """Open ``rendered-cars:DIR``: images of 64×64 pixels, of which the class is the angle from −75° to 75°.

    The folder has ``list.txt`` and, for each line of it, a file ``NAME.mat`` with ``im`` (H, W, 3, azimuths,
    elevations): the models of Fidler et al. 2012 as Reed et al. 2015 rendered them. Azimuths are 15° apart, the first
    one is 0°. The paper says neither which elevation nor which cars it tests with: these are the first elevation, and
    the last 14 cars of the list. Images of one car stay together in the validation split.

    Raises:
        UserError: for missing or damaged files.
    """
    folder, _ = find_folder(request.place, CARS)
    try:
        names = (folder / "list.txt").read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{one_line(folder / 'list.txt')}: {reason(error)}") from None
    absent = [name for name in names if not (folder / f"{name}.mat").is_file()]
    if absent:
        raise UserError(
            f"{one_line(folder)}: list.txt names {len(names)} cars, {len(absent)} of them missing: the first is "
            f"{one_line(absent[0])}.mat; was it copied or unpacked completely?"
        )
    if len(names) < 3:
        raise UserError(f"{one_line(folder / 'list.txt')}: names {len(names)} cars; expected 183")
    cars = np.stack([_car(folder / f"{name}.mat") for name in track(names, "reading the cars")])
    border = len(cars) - max(round(TEST_SHARE * len(cars)), 1)
    classes = [f"{angle}°" for angle in ANGLES]
    sources: dict[str, Source] = {}
    for part, chosen in (("train", range(border)), ("test", range(border, len(cars)))):
        images = cars[list(chosen)].reshape(-1, SIDE, SIDE, 3)
        labels = np.tile(np.arange(len(classes)), len(chosen))
        sources[part] = ArraySource(images, labels, classes, f"{part}-images")
        sources[part].groups = np.repeat(np.array(chosen, dtype=np.int64), len(classes))
    return complete(
        sources, request.name, [], seed=request.seed, val_fraction=request.val_fraction, hold_test=False
    )


def _car(path: Path) -> NDArray[np.uint8]:
    """Return the images (11, 64, 64, 3) of a car."""
    [images] = read_matlab(path, "im")
    turns = 360 // STEP
    if images.dtype != np.uint8 or images.ndim != 5 or images.shape[2:4] != (3, turns):
        raise UserError(
            f"{one_line(path)}: im is {images.dtype} {images.shape}; expected (H, W, 3, {turns}, elevations) of uint8"
        )
    pictures = [Image.fromarray(images[:, :, :, (angle // STEP) % turns, ELEVATION]) for angle in ANGLES]
    return np.stack([np.asarray(one.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for one in pictures])
