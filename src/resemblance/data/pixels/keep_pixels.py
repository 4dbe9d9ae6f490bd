"""Choose the sources whose pixels are kept at the model's size, and how much disk that may take."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress

from resemblance.data.benchmarks.box_crops import BoxCrops
from resemblance.data.pixels.pixel_cache import PixelCache
from resemblance.data.sources.changed import ChangedSource
from resemblance.data.sources.file_source import FileSource
from resemblance.data.sources.source import DataSplits, Source, Subset

GIGABYTE = 10**9


def keep_pixels(splits: DataSplits, gigabytes: float | None) -> None:
    """Have the images of files keep their pixels at the model's size from the first time that a model reads them.

    Args:
        splits: the images; those in memory are left as they are.
        gigabytes: of disk in the folder of temporary files; by default half of what is free; 0 to keep none.
    """
    parts = [part for part in (splits.train, splits.val, splits.test) if part is not None]
    sources = {
        id(one): one for part in parts if _decodes(one := part.source if isinstance(part, Subset) else part)
    }
    images = sum(map(len, sources.values()))
    if not images or gigabytes == 0:
        return
    with suppress(OSError):
        free = shutil.disk_usage(tempfile.gettempdir()).free
        limit = free // 2 if gigabytes is None else int(gigabytes * GIGABYTE)
        for source in sources.values():
            source.kept = source.kept or PixelCache(limit * len(source) // images)


def _decodes(source: Source) -> bool:
    """Check whether a source decodes an image whenever it is read; others may return another picture each time."""
    return source.array is None and isinstance(source, FileSource | ChangedSource | BoxCrops)
