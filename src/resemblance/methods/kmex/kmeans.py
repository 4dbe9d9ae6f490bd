"""The cluster centres of one class: scikit-learn's k-means, made deterministic and without empty clusters."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController

Vectors = NDArray[np.float32]


@cache
def _threads() -> ThreadpoolController:
    """Return the controller, made once: looking for the loaded libraries takes longer than clustering a small class."""
    return ThreadpoolController()


def centres(rows: Vectors, count: int, *, seed: int = 0, n_init: int = 1) -> Vectors:
    """Cluster rows and return the centres, that of the largest cluster first.

    Lloyd's algorithm from k-means++, at most 300 iterations, tolerance 1e-4. It runs in one thread: several threads
    add numbers in a varying order, and the last digits would differ from run to run.

    Args:
        rows: (N, E) float32, N at least 1.
        count: K, the number of centres.
        seed: seed of k-means++.
        n_init: number of runs, of which the one with the smallest inertia is used.

    Returns:
        (at most K, E): one for each cluster that has rows, so not more than there are distinct rows.

    Example:
        >>> rows = np.array([[0, 0], [0, 2], [9, 9], [0, 1]], np.float32)
        >>> centres(rows, 2).tolist(), len(centres(rows[:1], 5))
        ([[0.0, 1.0], [9.0, 9.0]], 1)
    """
    if len(rows) <= count:
        distinct, copies = np.unique(rows, axis=0, return_counts=True)
        return distinct[np.argsort(-copies, kind="stable")]
    with _threads().limit(limits=1), warnings.catch_warnings():
        # A warning means fewer distinct rows than clusters, which is handled below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans = KMeans(count, n_init=n_init, random_state=seed % 2**32).fit(rows)
    sizes = np.bincount(kmeans.labels_, minlength=count)
    order = np.argsort(-sizes, kind="stable")
    kept: Vectors = kmeans.cluster_centers_[order[sizes[order] > 0]].astype(np.float32)
    return kept
