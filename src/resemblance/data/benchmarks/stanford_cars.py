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
TOGETHER = PublishedData("Stanford Cars", (("cars_annos.mat", "devkit/cars_annos.mat"), ("car_ims",)))
CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def open_cars(request: DataRequest) -> DataSplits:
    """Open ``cars:DIR``, or ``cars-cropped:DIR``, in which all images are cropped to the cars.

    They lie in ``cars_train/`` and ``cars_test/``, with the annotations of the devkit, or in ``car_ims/``, with
    ``cars_annos.mat``. Boxes are taken to count pixels from 1 and to include both edges, as is usual in MATLAB.

    Raises:
        UserError: for missing or damaged files.
    """
    folder, layout = find_folder(request.place, CARS, TOGETHER)
    [names] = read_matlab(layout.path(folder, META), "class_names")
    classes = [str(name) for name in np.atleast_1d(names)]
    notes = []
    if layout is CARS:
        found = [
            *_annotations(layout.path(folder, TRAIN), "train"),
            *_annotations(layout.path(folder, TEST), "test"),
        ]
        notes = notes_on_checksums([layout.path(folder, TEST)])
    else:
        found = _annotations(layout.path(folder, META))
    images, boxes = [image for image, _ in found], {one_line(image.file): box for image, box in found}
    splits = open_listed(request, folder, classes, images, "the annotation files", notes)
    return crop_to_boxes(splits, boxes) if request.kind == "cars-cropped" else splits


def _annotations(path: Path, part: str = "") -> list[tuple[ListedImage, list[float]]]:
    """Return image and box of each row: of the images of a split, or, for an empty one, as the rows say."""
    [table] = read_matlab(path, "annotations")
    fields: Any = table.dtype.names or ()
    absent = [
        name
        for name in (*CORNERS, "class", *(("fname",) if part else ("relative_im_path", "test")))
        if name not in fields
    ]
    if absent:
        doubt = f"; the test images' classes are in {LABELLED_TEST}" if absent == ["class"] else ""
        raise UserError(f"{one_line(path)}: its annotations have no {absent[0]}{doubt}")
    images = []
    try:
        for row in np.atleast_1d(table):
            file = f"cars_{part}/{row['fname']}" if part else str(row["relative_im_path"])
            image = ListedImage(file, int(row["class"]) - 1, part or ("test" if row["test"] else "train"))
            images.append((image, [float(row[side]) - (side in CORNERS[:2]) for side in CORNERS]))
    except (TypeError, ValueError) as error:
        raise UserError(f"{one_line(path)}: a row is not an annotation ({reason(error)})") from None
    return images
