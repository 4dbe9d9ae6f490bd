"""Stanford Cars: 196 models of cars, whole or cropped to the cars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.box_crops import crop_to_boxes
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.listed_images import ListedImage, open_listed
from resemblance.data.benchmarks.published_files import PublishedData, find_folder
from resemblance.data.benchmarks.published_sums import notes_on_checksums
from resemblance.data.benchmarks.stored_arrays import read_matlab
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import one_line, reason

LABELLED_TEST = "cars_test_annos_withlabels.mat"
CARS = PublishedData(
    "Stanford Cars",
    (
        ("devkit/cars_meta.mat", "cars_meta.mat"),
        ("devkit/cars_train_annos.mat", "cars_train_annos.mat"),
        (LABELLED_TEST, f"devkit/{LABELLED_TEST}"),
        ("cars_train",),
        ("cars_test",),
    ),
)
META, TRAIN, TEST = range(3)
CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def open_cars(request: DataRequest) -> DataSplits:
    """Open ``cars:DIR``, or ``cars-cropped:DIR``, in which all images are cropped to the cars.

    The boxes of the annotations count pixels from 1 and include both edges, as MATLAB does.

    Raises:
        UserError: for missing or damaged files.
    """
    folder = find_folder(request.place, CARS)
    [names] = read_matlab(CARS.path(folder, META), "class_names")
    classes = [str(name) for name in np.atleast_1d(names)]
    images: list[ListedImage] = []
    boxes: dict[str, list[float]] = {}
    tables = [(TRAIN, "train", "cars_train"), (TEST, "test", "cars_test")]
    for number, part, images_in in tables:
        for file, label, box in _annotations(CARS.path(folder, number)):
            images.append(ListedImage(f"{images_in}/{file}", label, part))
            boxes[one_line(images[-1].file)] = box
    notes = notes_on_checksums([CARS.path(folder, TEST)])
    splits = open_listed(request, folder, classes, images, "the annotation files", notes)
    return crop_to_boxes(splits, boxes) if request.kind == "cars-cropped" else splits


def _annotations(path: Path) -> list[tuple[str, int, list[float]]]:
    """Return file, class from 0, and box of each image."""
    [table] = read_matlab(path, "annotations")
    fields: Any = table.dtype.names or ()
    absent = [name for name in (*CORNERS, "class", "fname") if name not in fields]
    if absent:
        doubt = f"; the test images' classes are in {LABELLED_TEST}" if absent == ["class"] else ""
        raise UserError(f"{one_line(path)}: its annotations have no {absent[0]}{doubt}")
    try:
        return [
            (
                str(row["fname"]),
                int(row["class"]) - 1,
                [float(row[side]) - (side in CORNERS[:2]) for side in CORNERS],
            )
            for row in np.atleast_1d(table)
        ]
    except (TypeError, ValueError) as error:
        raise UserError(f"{one_line(path)}: a row is not an annotation ({reason(error)})") from None
