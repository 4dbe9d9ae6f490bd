"""Write two .npz files: one without some classes, to train on, and one of these classes alone, which are then unknown.

    python experiments/held_out.py mnist:DIR 8,9 mnist-0-to-7.npz mnist-8-and-9.npz [--per-class N] [--seed S]

The classes are renumbered in their order. Images of all splits are written as they are; all must have the same size.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from resemblance.data.open import open_data
from resemblance.data.sources.source import Source


def chosen(
    source: Source, classes: list[int], most: int | None, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images of some classes, at most so many of each, drawn by the seed, and their new numbers."""
    assert source.array is not None, "the images must all have the same size, and be in memory"
    indices = []
    for number in classes:
        own = np.flatnonzero(source.labels == number)
        indices.append(np.random.default_rng([seed, number]).permutation(own)[:most])
    order = np.sort(np.concatenate(indices))
    return source.array[order], np.searchsorted(classes, source.labels[order])


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("held_out", help="names of the classes to leave out, separated by commas")
    parser.add_argument("known", help="file to write without them")
    parser.add_argument("unknown", help="file to write of them")
    parser.add_argument("--per-class", type=int, help="training images per class (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    splits = open_data(options.data, seed=options.seed)
    held_out = sorted(splits.classes.index(name) for name in options.held_out.split(","))
    known = [number for number in range(len(splits.classes)) if number not in held_out]
    for path, classes in ((options.known, known), (options.unknown, held_out)):
        arrays = {}
        for part, source in (("train", splits.train), ("val", splits.val), ("test", splits.test)):
            if source is not None:
                most = options.per_class if part == "train" else None
                images, labels = chosen(source, classes, most, options.seed)
                arrays |= {f"{part}_images": images, f"{part}_labels": labels}
        np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main()
