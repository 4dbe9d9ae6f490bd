"""Move a prototype of one image to a region of the user's choice: "head on stomach" by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from resemblance.audit.places.cell_regions import cell_pixels, filled_rectangle
from resemblance.audit.places.place_aims import Aim, Aims, PairMaps, Variant, pair_maps, shown_boxes
from resemblance.audit.places.place_attacks import EPS, STEP, STEPS, Strength, move_place
from resemblance.audit.places.place_figure import PlaceChange, place_figure
from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import as_tensor
from resemblance.encoders.probe import evaluating, without_gradients
from resemblance.explain.prototype_view import PrototypeView, prototype_views
from resemblance.prototypes.gallery import Box

Region = Sequence[tuple[int, int]] | Box


@dataclass(frozen=True)
class MovedPrototype:
    """What became of an attempt to move a prototype's best match to a region.

    Args:
        image: (C, H, W) in [0, 1].
        changed: (C, H, W) in [0, 1], the attacked image.
        before: (h, w) similarity map of the image.
        after: (h, w) similarity map of the changed image.
        place: the box where the prototype is found in the image, in pixels.
        found: the box where it is found in the changed image.
        region: (h, w) bool, the cells to which it was to be moved, and whose pixels may change.
        moved: whether the best match is in the region afterwards.
        kept: whether the prediction stays.
        answers: the classes predicted for the image and for the changed one.
        view: the prototype.
    """

    image: Tensor
    changed: Tensor
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    place: Box
    found: Box
    region: NDArray[np.bool_]
    moved: bool
    kept: bool
    answers: tuple[str, str]
    view: PrototypeView

    @property
    def success(self) -> bool:
        """Whether the best match is in the region, and the prediction stays."""
        return self.moved and self.kept

    @property
    def similarity(self) -> tuple[float, float]:
        """The largest similarity of the image, and that of the region in the changed image."""
        return float(self.before.max()), float(self.after[self.region].max())

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, without the images."""
        before, after = self.similarity
        return {
            "prototype": self.view.index,
            "region": np.argwhere(self.region).tolist(),
            "moved": self.moved,
            "prediction_stays": self.kept,
            "predicted": list(self.answers),
            "similarity_before": before,
            "similarity_in_region_after": after,
            "place_before": list(self.place),
            "place_after": list(self.found),
            "largest_change": float((self.changed - self.image).abs().max()),
        }

    def plot(self) -> Figure:
        """Draw image, map and box before and after, the region in green, and the change × 10."""
        height, width = self.image.shape[1:]
        pixels = cell_pixels(torch.from_numpy(self.region)[None], (height, width))[0, 0].numpy()
        change = PlaceChange(
            self.image, self.changed, self.before, self.after, self.place, self.found, pixels
        )
        first, second = self.answers
        return place_figure(
            change, self.view, (f"predicted {first}", f"{'still ' * self.kept}predicted {second}")
        )


def move_prototype(
    model: PrototypeModel,
    image: Any,
    prototype: int,
    region: Region,
    *,
    eps: float = EPS,
    step: float = STEP,
    steps: int = STEPS,
    seed: int = 0,
    variant: Variant = "paper",
) -> MovedPrototype:
    """Move the best match of a prototype in an image to a region, by a change that is too small to be seen.

    Only the pixels of the region change. Source: Hoffmann et al. 2021, section 3. The model and its gradients stay as
    they were.

    Args:
        model: a model whose prototypes have places.
        image: a path, PIL image, array or tensor, as `explain` takes it.
        prototype: its number.
        region: cells of the similarity map as (row, column) pairs; or a box (x0, y0, x1, y1) in pixels of the model's
            input, which stands for all cells that it touches.
        eps: the largest change of a pixel, in the units of [0, 1].
        step: the change per step.
        steps: the number of steps.
        seed: of the random start.
        variant: ``released`` replaces the region by the filled rectangle around it.

    Raises:
        UserError: if the prototype does not exist or has no places, if the region is not on the map, or if the best
            match is in the region already.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> model = build("protopnet", {"encoder": "small"}, spec)
        >>> image = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0))
        >>> row, column = np.unravel_index(similarity_map(model, image, 3).argmax(), (7, 7))
        >>> result = move_prototype(model, image, 3, [(6 - int(row), (int(column) + 3) % 7)], steps=2)
        >>> result.before.shape, result.to_dict()["largest_change"] <= 8 / 255 + 1e-6
        ((7, 7), True)
    """
    tensor = as_tensor(image, model.spec.image).tensor.to(model.device)[None]
    size = model.spec.image.size
    which = _checked(model, prototype)
    with evaluating(model), without_gradients(model):
        own, output = _map(model, tensor, which)
        grid = (own.cells.shape[1], own.cells.shape[2])
        target = _region(region, grid, size).to(own.cells.device)[None]
        if variant == "released":
            target = filled_rectangle(target)
        place = Aim.away(own, size).place
        aim = Aim(own.pairs, place, target, target)
        if bool(aim.reached(own.cells)):
            raise UserError(
                f"prototype {prototype} is found in this region already; choose a region away from the box "
                f"{tuple(shown_boxes(own, size)[0].tolist())}"
            )
        strength = Strength(eps, step, steps, seed)
        attacked = move_place(model, tensor, which, Aims([aim], 1), strength)
        changed, answer = _map(model, attacked.images, which)
        boxes = [shown_boxes(maps, size)[0].tolist() for maps in (own, changed)]
    names = [model.spec.classes[int(scores.argmax())] for scores in (output, answer)]
    return MovedPrototype(
        tensor[0].cpu(),
        attacked.images[0].cpu(),
        own.cells[0].float().cpu().numpy(),
        changed.cells[0].float().cpu().numpy(),
        _box(boxes[0]),
        _box(boxes[1]),
        target[0].cpu().numpy(),
        bool(aim.reached(changed.cells)),
        int(output.argmax()) == int(answer.argmax()),
        (names[0], names[1]),
        prototype_views(model, [prototype])[0],
    )


def similarity_map(model: PrototypeModel, image: Any, prototype: int) -> NDArray[np.float32]:
    """Return the similarity of each cell of an image to a prototype, (h, w), to choose a region from.

    Args:
        model: a model whose prototypes have places.
        image: a path, PIL image, array or tensor.
        prototype: its number.

    Raises:
        UserError: if the prototype does not exist or has no places.
    """
    tensor = as_tensor(image, model.spec.image).tensor.to(model.device)[None]
    which = _checked(model, prototype)
    with evaluating(model):
        cells: NDArray[np.float32] = _map(model, tensor, which)[0].cells[0].float().cpu().numpy()
    return cells


def _map(model: PrototypeModel, images: Tensor, which: Tensor) -> tuple[PairMaps, Tensor]:
    """Return the map of one prototype in one image, and the scores."""
    with torch.no_grad():
        output = model(images)
        maps = pair_maps(model, output.latents, torch.zeros_like(which), which)
    if not maps:
        raise UserError(
            f"{model.name} compares whole images: prototype {int(which)} has no place that could be moved"
        )
    return maps[0], output.scores[0]


def _checked(model: PrototypeModel, prototype: int) -> Tensor:
    count = len(model.prototypes)
    if not 0 <= prototype < count:
        raise UserError(f"there is no prototype {prototype}; the model has {count}, numbered from 0")
    return torch.tensor([prototype], device=model.device)


def _region(region: Region, grid: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return the cells (h, w) bool of a region, which must lie on the map."""
    cells = np.asarray(region, dtype=np.int64)
    chosen = torch.zeros(grid, dtype=torch.bool)
    if cells.shape == (4,):
        x0, y0, x1, y1 = cells.tolist()
        if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
            raise UserError(
                f"the box {(x0, y0, x1, y1)} is not in the image; expected x0, y0, x1, y1 with 0 <= x0 < x1 <= "
                f"{size[1]} and 0 <= y0 < y1 <= {size[0]}"
            )
        rows, columns = (
            slice(low * count // length, (high - 1) * count // length + 1)
            for low, high, count, length in ((y0, y1, grid[0], size[0]), (x0, x1, grid[1], size[1]))
        )
        chosen[rows, columns] = True
        return chosen
    if cells.ndim != 2 or cells.shape[1] != 2 or not len(cells):
        raise UserError(
            "a region is a list of (row, column) cells of the map, or a box (x0, y0, x1, y1) in pixels"
        )
    if (cells < 0).any() or (cells >= np.asarray(grid)).any():
        raise UserError(f"the region leaves the map, which has {grid[0]} rows and {grid[1]} columns")
    chosen[cells[:, 0], cells[:, 1]] = True
    return chosen


def _box(edges: Sequence[int]) -> Box:
    x0, y0, x1, y1 = edges
    return x0, y0, x1, y1
