"""All measures with some batches, and the work of one of two processes, which import this module."""

from __future__ import annotations

import torch
from torch import distributed as dist

from resemblance.metrics import (
    AccuracyGap,
    Agreement,
    AttributeCorrelationError,
    AttributeCoverage,
    AverageDrop,
    AverageIncrease,
    BrierScore,
    CalibrationError,
    Diversity,
    ExplanationDivergence,
    Ghosting,
    ReconstructionError,
    RelevanceOrdering,
)


def scenes():
    """By name: how to make a measure, and four batches for it, of which some hold what is undefined."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape):
        return torch.rand(*shape, generator=generator)

    def labels(classes=3):
        return torch.randint(classes, (6,), generator=generator)

    def holed(values):
        values[2] = 0
        values[3] *= torch.nan
        return values

    owners = torch.eye(3).repeat_interleave(2, dim=0)
    attributes = numbers(4, 6, 4) < 0.5
    similarities = [(holed(numbers(6, 6)), labels()) for _ in range(4)]
    pairs = [(holed(numbers(6, 2)), numbers(6, 2)) for _ in range(4)]
    probabilities = [(numbers(6, 3).softmax(dim=1), labels()) for _ in range(4)]
    return {
        "ghosting": (lambda: Ghosting(owners), similarities),
        "own": (lambda: Ghosting(owners, "own"), similarities),
        "own images": (lambda: Ghosting(owners, "own images"), similarities),
        "printed": (lambda: Ghosting(owners, definition="paper"), similarities),
        "divergence": (
            ExplanationDivergence,
            [(holed(numbers(6, 2, 3, 3)), numbers(6, 1, 3, 3)) for _ in range(4)],
        ),
        "diversity": (Diversity, [(numbers(6, 6), owners) for _ in range(4)]),
        "drop": (AverageDrop, pairs),
        "increase": (AverageIncrease, pairs),
        "ordering": (lambda: RelevanceOrdering(5), [(holed(numbers(6, 5)), numbers(6, 5)) for _ in range(4)]),
        "coverage": (lambda: AttributeCoverage(4), [(rows, rows[:, 0]) for rows in attributes]),
        "correlation": (lambda: AttributeCorrelationError(4), [(rows[:2], rows) for rows in attributes]),
        "gap": (lambda: AccuracyGap(3), [(labels(), labels(), labels()) for _ in range(4)]),
        "released gap": (
            lambda: AccuracyGap(3, "released"),
            [(labels(), labels(), labels()) for _ in range(4)],
        ),
        "agreement": (Agreement, [(labels() - 1, labels()) for _ in range(4)]),
        "calibration": (CalibrationError, probabilities),
        "brier": (BrierScore, probabilities),
        "reconstruction": (
            ReconstructionError,
            [(numbers(6, 1, 4, 4), numbers(6, 1, 4, 4)) for _ in range(4)],
        ),
    }


MORE = (
    "deviation",
    "ghosted",
    "importances",
    "curve",
    "random_curve",
    "random_area",
    "difference",
    "captured_by",
    "accuracy",
    "black_box_accuracy",
    "reliability",
)


def results(metric):
    """Everything that a measure reports."""
    more = {name: getattr(metric, name)() for name in MORE if callable(getattr(metric, name, None))}
    return {"value": metric.compute(), "counted": metric.counted(), **more}


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.set_num_threads(1)
    reports = {}
    for name, (make, batches) in scenes().items():
        metric = make()
        for batch in batches[rank::2]:
            metric.update(*batch)
        reports[name] = results(metric)
        metric.update(*batches[rank])  # the states are those of this process again
        alone = make()
        for batch in [*batches[rank::2], batches[rank]]:
            alone.update(*batch)
        reports[name]["restored"] = all(
            torch.equal(getattr(metric, state), getattr(alone, state)) for state in metric._defaults
        )
    torch.save(reports, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
