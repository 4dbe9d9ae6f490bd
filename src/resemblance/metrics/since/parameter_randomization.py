"""Parameter randomisation: do maps change if the weights are random?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from resemblance.encoders.probe import evaluating
from resemblance.metrics.since.bootstrap import Interval, mean_interval
from resemblance.metrics.since.map_agreement import rank_correlation, structural_similarity
from resemblance.metrics.since.summary import SummarizedMetric, Summary

STEPS = 6
NAMES = ("rank correlation", "rank correlation of magnitudes", "structural similarity")


class RandomizedMaps(NamedTuple):
    """Maps of a model some of whose weights are random.

    Args:
        names: the modules whose weights are random.
        maps: what the callable returned.
    """

    names: tuple[str, ...]
    maps: Tensor


def modules_from_the_head(model: nn.Module) -> list[str]:
    """Return the names of the modules with weights of their own, the last registered first.

    Example:
        >>> modules_from_the_head(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
        ['2', '0']
    """
    names = [
        name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))
    ]
    return names[::-1]


@contextmanager
def randomized(model: nn.Module, names: Sequence[str], seed: int = 0) -> Iterator[None]:
    """Shuffle the weights of modules inside the block; afterwards every tensor is as before, bit by bit.

    Each tensor keeps its values in another order, so that scales stay plausible; a tensor of equal values does not
    change. A shuffled tensor depends on the seed and on its place in the model only.

    Args:
        model: in any mode.
        names: modules of the model, whose own parameters are shuffled.
        seed: of the shuffling.

    Example:
        >>> model = nn.Linear(2, 3)
        >>> before = model.weight.clone()
        >>> with randomized(model, [""]):
        ...     print(bool((model.weight == before).all()))
        False
        >>> bool((model.weight == before).all())
        True
    """
    places = {id(parameter): place for place, parameter in enumerate(model.parameters())}
    chosen = {
        id(parameter): parameter
        for name in names
        for parameter in model.get_submodule(name).parameters(recurse=False)
    }
    saved = [(parameter, parameter.detach().clone()) for parameter in chosen.values()]
    try:
        with torch.no_grad():
            for parameter, values in saved:
                order = np.random.default_rng([seed % (1 << 64), places[id(parameter)]]).permutation(
                    values.numel()
                )
                shuffled = values.flatten()[torch.from_numpy(order).to(values.device)]
                parameter.copy_(shuffled.reshape(values.shape))
        yield
    finally:
        with torch.no_grad():
            for parameter, values in saved:
                parameter.copy_(values)


def randomized_maps(
    model: nn.Module,
    make_maps: Callable[[], Tensor],
    *,
    order: str = "cascade",
    steps: int = STEPS,
    modules: Sequence[str] | None = None,
    seed: int = 0,
) -> Iterator[RandomizedMaps]:
    """Yield maps of a model whose weights become random, from the head down; the model is given back unharmed.

    Source: Adebayo et al. 2018.

    Args:
        model: put into evaluation mode while maps are made.
        make_maps: makes maps (B, H, W) with the model as it is, for the same images, classes and prototypes each time.
        order: "cascade" randomises more modules at each step, from the head down; "all" all of them at once.
        steps: the number of steps of the cascade, at most one per module; the last has all of them.
        modules: names of modules, head first; by default `modules_from_the_head`.
        seed: of the random weights.

    Raises:
        ValueError: for another order, or a model without weights.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 1))
        >>> maps = randomized_maps(model, lambda: model(torch.ones(1, 1, 4, 4))[:, 0].detach())
        >>> [step.names for step in maps]
        [('1',), ('1', '0')]
    """
    names = modules_from_the_head(model) if modules is None else list(modules)
    if order not in ("cascade", "all"):
        raise ValueError(f"order is 'cascade' or 'all', not {order!r}")
    if not names:
        raise ValueError("the model has no weights to randomise")
    count = min(steps, len(names)) if order == "cascade" else 1
    ends = sorted({round(len(names) * (step + 1) / count) for step in range(count)})
    for end in ends:
        with evaluating(model), randomized(model, names[:end], seed):
            maps = make_maps().detach().clone()
        yield RandomizedMaps(tuple(names[:end]), maps)


class ParameterRandomization(SummarizedMetric):
    """Mean rank correlation of maps before and after the weights became random; lower is better.

    A map that looks the same for a random model shows the image, not what the model learned. Source: Adebayo et al.
    2018. The summary also has the correlation of magnitudes and the structural similarity. The baseline is the
    correlation with the map of the next image of the batch, from the same model: maps that agree as much as those of
    different images do not depend on the weights at all. Constant maps and values that are not finite are left out and
    counted.

    Args:
        seed: of the intervals.

    Example:
        >>> metric = ParameterRandomization()
        >>> maps = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0))
        >>> metric.update(maps, maps)
        >>> round(metric.compute().item(), 9)
        1.0
    """

    higher_is_better = False
    values: list[Tensor]
    others: list[Tensor]

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self._add_rows("values", "others")

    def update(self, before: Tensor, after: Tensor) -> None:
        """Add maps (B, H, W) before and after randomisation."""
        self.values.append(_agreement(before, after))
        nothing = torch.full_like(self.values[-1], torch.nan)
        self.others.append(_agreement(before, before.roll(1, dims=0)) if len(before) > 1 else nothing)

    def _value(self) -> float:
        values = self._rows("values")
        return float(values[:, 0].nanmean()) if values.numel() else float("nan")

    def _summary(self) -> Summary:
        values, others = self._rows("values").cpu(), self._rows("others").cpu()
        if not values.numel():
            nothing = Interval(float("nan"), float("nan"))
            return Summary("parameter randomisation", float("nan"), nothing, False)
        means, other_means = values.nanmean(dim=0).tolist(), others.nanmean(dim=0).tolist()
        intervals = [mean_interval(column, seed=self.seed) for column in values.T]
        return Summary(
            "parameter randomisation",
            means[0],
            intervals[0],
            False,
            baselines=dict(
                zip((f"{name}, maps of different images" for name in NAMES), other_means, strict=True)
            ),
            variants=dict(zip(NAMES[1:], means[1:], strict=True)),
            counts={"images": len(values), "images left out": int(values[:, 0].isnan().sum())},
            intervals=dict(zip(NAMES[1:], intervals[1:], strict=True)),
        )


def _agreement(first: Tensor, second: Tensor) -> Tensor:
    """Return (B, 3) on the CPU, the columns of `NAMES`."""
    columns = [
        rank_correlation(first, second),
        rank_correlation(first.abs(), second.abs()),
        structural_similarity(first, second).cpu(),
    ]
    return torch.stack(columns, dim=1)
