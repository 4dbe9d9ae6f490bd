"""CUB-200-2011: 200 species of birds, whole, cropped to the birds, or in ProtoTree's views."""

from __future__ import annotations

from resemblance.config.errors import UserError
from resemblance.data.benchmarks.box_crops import crop_to_boxes, train_on_corners
from resemblance.data.benchmarks.data_request import DataRequest
from resemblance.data.benchmarks.listed_images import ListedImage, open_listed
from resemblance.data.benchmarks.published_files import PublishedData, find_folder
from resemblance.data.regions.cub_parts import read_cub_images
from resemblance.data.sources.source import DataSplits
from resemblance.data.text import one_line

CUB = PublishedData(
    "CUB-200-2011",
    tuple(
        (file,)
        for file in (
            "images.txt",
            "classes.txt",
            "image_class_labels.txt",
            "train_test_split.txt",
            "bounding_boxes.txt",
            "images",
        )
    ),
)


def open_cub(request: DataRequest) -> DataSplits:
    """Open ``cub:DIR``, ``cub-cropped:DIR`` (all images cropped to the birds) or ``cub-corners:DIR`` (ProtoTree).

    Classes are named without their numbers: ``Black footed Albatross``.

    Raises:
        UserError: for missing or damaged files.
    """
    folder, _ = find_folder(request.place, CUB)
    birds = read_cub_images(folder)
    classes = []
    for line in (folder / "classes.txt").read_text("utf-8").splitlines():
        if line.strip():
            classes.append(line.split()[-1].partition(".")[2].replace("_", " "))
    if "" in classes or len(set(classes)) < max(len(classes), 2):
        raise UserError(
            f"{one_line(folder / 'classes.txt')}: expected lines such as '1 001.Black_footed_Albatross'"
        )
    images = [
        ListedImage(f"images/{file}", int(label), "test" if test else "train")
        for file, label, test in zip(birds.files, birds.labels, birds.test, strict=True)
    ]
    splits = open_listed(request, folder, classes, images, "images.txt")
    boxes = {one_line(image.file): box for image, box in zip(images, birds.boxes, strict=True)}
    if request.kind == "cub-cropped":
        return crop_to_boxes(splits, boxes)
    return train_on_corners(splits, boxes) if request.kind == "cub-corners" else splits
