"""Compute the maps of the reasons that an explanation shows, with their boxes and their deletion checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.core.output import Output
from resemblance.core.prototype_model import PrototypeModel
from resemblance.explain.reason_map import NO_MAP, CellMap, ReasonMap
from resemblance.explain.request import Request
from resemblance.explain.selection import Selection
from resemblance.relevance.deletion import check_prototype_maps
from resemblance.relevance.deletion_check import DeletionCheck
from resemblance.relevance.maps import prototype_maps
from resemblance.relevance.similarity import place_maps

LARGEST = 10  # reasons per class and image whose maps are computed, if no kind was asked for, and are checked

Pair = tuple[int, int]  # image and prototype


def reason_maps(
    model: PrototypeModel,
    output: Output,
    images: Tensor,
    pairs: Sequence[Pair],
    selections: Sequence[Selection],
    request: Request,
) -> dict[Pair, ReasonMap]:
    """Return the maps of pairs of image and prototype.

    Args:
        model: the model.
        output: its output for the images.
        images: (B, C, H, W) in [0, 1].
        pairs: all pairs that are shown.
        selections: the reasons that are shown: the first of each come first.
        request: the kind of the maps, and whether to check them.

    Raises:
        UserError: if the model has no maps of the kind.
    """
    if request.maps is None or not pairs:
        return {}
    first = _first(selections, len(images))
    found = _similarity_maps(model, output, pairs, (images.shape[2], images.shape[3]))
    if request.maps != "similarity" or (request.asked and len(found) < len(pairs)):
        chosen = list(pairs) if request.asked else [pair for pair in pairs if pair in first]
        heats = _heats(model, images, chosen, request.maps)
        # The place that is compared stays the same, whatever map is drawn over it.
        found = {pair: replace(found.get(pair, NO_MAP), other=heat) for pair, heat in heats.items()}
    if request.check:
        checked = [pair for pair in found if pair in first]
        checks = _checks(model, images, checked, found)
        found |= {pair: replace(found[pair], check=check) for pair, check in checks.items()}
    return found


def _first(selections: Sequence[Selection], count: int) -> set[Pair]:
    """Return the pairs of the first reasons; of paths, those parts that the image has: others mark nothing."""
    first: set[Pair] = set()
    for row in range(count):
        for selection in selections:
            for prototype, path in list(zip(selection.prototypes(row), selection.paths(row), strict=True))[
                :LARGEST
            ]:
                first |= {(row, p) for p, present in path if present} if path else {(row, prototype)}
    return first


def _heats(
    model: PrototypeModel, images: Tensor, pairs: list[Pair], kind: str
) -> dict[Pair, NDArray[np.float32]]:
    """Return maps with one call: as many for each image as the image with the most pairs needs."""
    columns: dict[int, list[int]] = {}
    for row, prototype in pairs:
        columns.setdefault(row, []).append(prototype)
    widest = max(map(len, columns.values()), default=0)
    rows = list(columns)
    which = [columns[row] + columns[row][:1] * (widest - len(columns[row])) for row in rows]
    maps = prototype_maps(model, images[rows], torch.tensor(which, dtype=torch.int64), kind)
    heats = maps.float().cpu().numpy()
    return {(row, p): heats[number, k] for number, row in enumerate(rows) for k, p in enumerate(columns[row])}


def _checks(
    model: PrototypeModel, images: Tensor, pairs: list[Pair], maps: dict[Pair, ReasonMap]
) -> dict[Pair, DeletionCheck]:
    if not pairs:
        return {}
    rows, prototypes = torch.tensor(pairs).T
    heats = torch.from_numpy(np.stack([heat for pair in pairs if (heat := maps[pair].heat) is not None]))
    checks = check_prototype_maps(model, images[rows], prototypes[:, None], heats[:, None])
    return {pair: check for pair, [check] in zip(pairs, checks, strict=True)}


def _similarity_maps(
    model: PrototypeModel, output: Output, pairs: Sequence[Pair], size: tuple[int, int]
) -> dict[Pair, ReasonMap]:
    """Return the similarities of all cells for the pairs of image and prototype that are shown."""
    found: dict[Pair, ReasonMap] = {}
    rows, prototypes = torch.tensor(pairs, device=model.device).T
    for numbers, layer, maps in place_maps(model, output, rows, prototypes):
        if maps is None:
            continue
        cells, grid = maps.flatten(1).argmax(dim=1), (maps.shape[1], maps.shape[2])
        patches = layer.patch_boxes(cells, grid, size)
        boxes = [None] * len(maps) if patches is None else [tuple(box) for box in patches.tolist()]
        for number, cell_map, box in zip(numbers.tolist(), maps.cpu(), boxes, strict=True):
            found[pairs[number]] = ReasonMap(CellMap(cell_map, size, box))
    return found
