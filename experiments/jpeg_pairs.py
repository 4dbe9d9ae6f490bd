"""Draw the similarities of one image with and without JPEG, for a run and for the same with a remedy (paired bars).

    python experiments/jpeg_pairs.py FIGURE.png RUN RUN-WITH-REMEDY

The image is the one of a compressed class, classified correctly when compressed, whose similarity to its most similar
prototype falls most without compression, in the first run. The figures of both runs are printed (Hoffmann et al. 2021,
Tables 2 and 4, Figures 10 and 13).
"""

from __future__ import annotations

import sys
from pathlib import Path

import resemblance
from resemblance.audit.shifts.compressed_classes import jpeg_bars, jpeg_experiment, jpeg_pair
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.compressed import CompressedSource
from resemblance.drawing.paired_bars import paired_bars
from resemblance.drawing.style import png


def main() -> None:
    """Measure and draw."""
    path, *folders = sys.argv[1:]
    rows, index = [], None
    for folder in folders:
        run = resemblance.open_run(folder)
        model, altered = run.model, run.images(None).test
        assert isinstance(model, PrototypeModel), f"{folder} has no prototypes"
        assert isinstance(altered, CompressedSource), f"{folder} was not trained with --jpeg-classes"
        quality = int(run.config["jpeg_quality"])
        compressed = sorted(set(altered.labels[altered.changed].tolist()))
        result = jpeg_experiment(model, altered.source, compressed, quality=quality)
        index = result.largest_drop if index is None else index
        rows.append(jpeg_bars(run.name, jpeg_pair(model, altered.source, index, quality=quality)[1]))
        print(run.name, result.to_dict())
    Path(path).write_bytes(png(paired_bars(rows, ("compressed", "as it is"))))


if __name__ == "__main__":
    main()
