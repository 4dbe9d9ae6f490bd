"""Random samples of a stream of rows, which do not depend on the order or the size of batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Keys = NDArray[np.uint64]


def priorities(keys: NDArray[np.int64], seed: int) -> Keys:
    """Compute a pseudo-random 64-bit number for each key: SplitMix64 of key and seed.

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
    """Return the positions of the ``limit`` lowest ranks, ascending; all positions if there are not more."""
    if len(ranks) <= limit:
        return np.arange(len(ranks))
    return np.sort(np.argpartition(ranks, limit - 1)[:limit])


class Sample:
    """A uniform random sample of at most ``limit`` rows of a stream; at most about twice as many are in memory.

    Args:
        limit: the number of rows to keep.
        seed: the seed, which together with the keys determines the rows that are kept.

    Attributes:
        seen: the number of rows of the stream so far.

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
        self._highest: np.uint64 | None = None  # rows with higher ranks are no longer kept

    def add(self, rows: Vectors, keys: NDArray[np.int64]) -> None:
        """Add rows (n, E) of the stream with their keys (n,), which are unique in the stream."""
        self.seen += len(rows)
        ranks = priorities(keys, self.seed)
        if self._highest is not None:
            low = ranks <= self._highest
            rows, ranks, keys = rows[low], ranks[low], keys[low]
        self._rows.append(np.array(rows))
        self._ranks.append(ranks)
        self._keys.append(keys)
        self._held += len(rows)
        if self._held > 2 * self.limit:
            self._reduce()

    def rows(self) -> Vectors:
        """Return the sample, (at most limit, E), in ascending order of keys."""
        self._reduce()
        return self._rows[0] if self._rows else np.empty((0, 0), np.float32)

    def _reduce(self) -> None:
        if not self._rows:
            return
        rows, ranks = np.concatenate(self._rows), np.concatenate(self._ranks)
        keys = np.concatenate(self._keys)
        kept = lowest(ranks, self.limit)
        kept = kept[np.argsort(keys[kept], kind="stable")]
        if len(rows) > self.limit:
            self._highest = ranks[kept].max()
        self._rows, self._ranks, self._keys = [rows[kept]], [ranks[kept]], [keys[kept]]
        self._held = len(kept)
