"""Write a zip with fewer training images of each class, and all test images.

    python experiments/subset.py images.zip 10 pets30.zip [--seed 0]

The training images are the first ones of each class in a random order of the seed, so that smaller sets are parts of
larger ones.
"""

from __future__ import annotations

import argparse
import zipfile
from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np


def main() -> None:
    """Copy the chosen files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="zip with train/CLASS/NAME and test/CLASS/NAME")
    parser.add_argument("per_class", type=int, help="training images per class")
    parser.add_argument("target", help="zip to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with zipfile.ZipFile(options.source) as source, zipfile.ZipFile(options.target, "w") as target:
        classes = defaultdict(list)
        for name in sorted(source.namelist()):
            if not name.endswith("/"):
                classes[PurePosixPath(name).parts[:2]].append(name)
        generator = np.random.default_rng(options.seed)
        for (split, _), names in sorted(classes.items()):
            if split == "train":
                names = [names[i] for i in sorted(generator.permutation(len(names))[: options.per_class])]
            for name in names:
                target.writestr(name, source.read(name))


if __name__ == "__main__":
    main()
