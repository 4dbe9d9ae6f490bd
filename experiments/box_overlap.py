"""How much of each explanation's box lies on the animal, against chance.

    python experiments/box_overlap.py RUN DATA [--images N] [--json FILE]

DATA holds images.zip and trimaps.zip of the three pet breeds. For every test image the box of the strongest reason
for the predicted class is laid over the animal's mask, and for every prototype its box over the mask of its source.
Chance is the mean over all places where a box of that size fits into the same image.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

import resemblance
from resemblance.data import open_data
from resemblance.explain.explain import explain_batch

ANIMAL = 1  # in the trimaps


def mask_of(masks: zipfile.ZipFile, name: str, size: tuple[int, int]) -> np.ndarray:
    """The animal in an image, (H, W) of zeros and ones, at the model's size."""
    trimap = Image.open(io.BytesIO(masks.read(name.rsplit(".", 1)[0] + ".png")))
    animal = Image.fromarray((np.asarray(trimap) == ANIMAL).astype(np.uint8) * 255)
    return np.asarray(animal.resize((size[1], size[0]), Image.Resampling.NEAREST)) > 127


def shares(mask: np.ndarray, box: tuple[int, int, int, int]) -> tuple[float, float]:
    """The share of a box on the mask, and its mean over all places where such a box fits."""
    x0, y0, x1, y1 = box
    sums = np.pad(mask.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = y1 - y0, x1 - x0
    everywhere = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    )
    return float(mask[y0:y1, x0:x1].mean()), float(everywhere.mean() / (height * width))


def summary(pairs: list[tuple[float, float]]) -> dict[str, float]:
    """Means over all boxes."""
    inside, chance = np.array(pairs).T
    return {
        "boxes": len(pairs),
        "inside": round(float(inside.mean()), 4),
        "chance": round(float(chance.mean()), 4),
    }


def main() -> None:
    """Print the two lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, help="only so many test images")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = resemblance.load(options.run)
    size = model.spec.image.size
    splits = open_data(str(options.data / "images.zip"))
    masks = zipfile.ZipFile(options.data / "trimaps.zip")
    assert splits.test is not None
    count = min(len(splits.test), options.images or len(splits.test))
    names = [splits.test.name(i) for i in range(count)]
    found = explain_batch(model, [splits.test.read(i) for i in range(count)], top=1, names=names)
    local = [
        shares(mask_of(masks, e.name, size), e.reasons[0].box)
        for e in found
        if e.reasons and e.reasons[0].box
    ]
    assert model.prototypes is not None
    boxes = model.prototypes.source_box.tolist()
    sources = [splits.train.name(i) if i >= 0 else "" for i in model.prototypes.source_index.tolist()]
    parts = [
        shares(mask_of(masks, name, size), tuple(box))
        for name, box in zip(sources, boxes, strict=True)
        if name
    ]
    result = {"strongest reason, test images": summary(local), "prototypes, training images": summary(parts)}
    for what, row in result.items():
        print(f"{what}: {row['boxes']} boxes, {row['inside']:.1%} on the animal, chance {row['chance']:.1%}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
