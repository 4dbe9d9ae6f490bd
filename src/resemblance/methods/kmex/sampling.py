"""Random samples of streams that do not depend on the order or the size of batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Keys = NDArray[np.uint64]


def priorities(keys: NDArray[np.int64], seed: int) -> Keys:
    """A pseudo-random 64-bit number for each key: SplitMix64 of key and seed.

    Example:
        >>> bool((priorities(np.arange(3), 0) == priorities(np.array([0, 1, 2]), 0)).all())
        True
    """
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def lowest(ranks: Keys, limit: int) -> NDArray[np.int64]:
    """The positions of the ``limit`` lowest ranks, ascending; all positions if there are no more."""
    if len(ranks) <= limit:
        return np.arange(len(ranks))
    return np.sort(np.argpartition(ranks, limit - 1)[:limit])


class Sample:
    """At most ``limit`` rows of a stream, each as likely as any other; at most twice as many are held.

    Args:
        limit: rows to keep.
        seed: which rows are kept follows from it and their keys.

    Attributes:
        seen: rows that came by.

    Example:
        >>> sample = Sample(limit=2, seed=0)
        >>> sample.add(np.eye(5, dtype=np.float32), np.arange(5))
        >>> sample.rows().shape, sample.seen
        ((2, 5), 5)
    """

    def __init__(self, limit: int, seed: int) -> None:
        self.limit, self.seed, self.seen = limit, seed, 0
        self._rows: list[Vectors] = []
        self._ranks: list[Keys] = []
        self._keys: list[NDArray[np.int64]] = []
        self._held = 0
        self._bar: np.uint64 | None = None  # ranks above it cannot get in any more

    def add(self, rows: Vectors, keys: NDArray[np.int64]) -> None:
        """Offer rows (n, E) with their keys (n,), which are unique in the stream."""
        self.seen += len(rows)
        ranks = priorities(keys, self.seed)
        if self._bar is not None:
            low = ranks <= self._bar
            rows, ranks, keys = rows[low], ranks[low], keys[low]
        self._rows.append(np.array(rows))
        self._ranks.append(ranks)
        self._keys.append(keys)
        self._held += len(rows)
        if self._held > 2 * self.limit:
            self._thin()

    def rows(self) -> Vectors:
        """The sample, (at most limit, E), in ascending order of keys."""
        self._thin()
        return self._rows[0] if self._rows else np.empty((0, 0), np.float32)

    def _thin(self) -> None:
        if not self._rows:
            return
        rows, ranks = np.concatenate(self._rows), np.concatenate(self._ranks)
        keys = np.concatenate(self._keys)
        kept = lowest(ranks, self.limit)
        kept = kept[np.argsort(keys[kept], kind="stable")]
        if len(rows) > self.limit:
            self._bar = ranks[kept].max()
        self._rows, self._ranks, self._keys = [rows[kept]], [ranks[kept]], [keys[kept]]
        self._held = len(kept)
