"""Measure an ensemble, and each of its members, on a set of images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.utils.data import Dataset

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.batch import Batch
from resemblance.data.dataset import ImageDataset, Key
from resemblance.data.loader import loader
from resemblance.data.sources.source import Source
from resemblance.methods.ensemble.model import Ensemble, make_ensemble
from resemblance.methods.ensemble.rule import Rule
from resemblance.metrics.evaluation import Evaluation, EvaluationCounts, with_answers
from resemblance.metrics.sure_answers import SureAnswers
from resemblance.training.devices.pool import map_over_devices
from resemblance.training.ends.passes import evaluating


@dataclass(frozen=True)
class EnsembleEvaluation:
    """The evaluations of an ensemble and of its members.

    Args:
        rule: the rule by which the scores were combined.
        members: the evaluation of each model alone, in order.
        whole: the evaluation of the ensemble.
    """

    rule: Rule
    members: tuple[Evaluation, ...]
    whole: Evaluation

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary: the whole, with rule and members."""
        return {
            "rule": self.rule,
            "members": [member.to_dict() for member in self.members],
            **self.whole.to_dict(),
        }


def evaluate_ensemble(
    models: Sequence[Classifier],
    source: Source,
    *,
    batch_size: int = 128,
    workers: int = 0,
    progress: bool = False,
) -> EnsembleEvaluation:
    """Evaluate an ensemble and each of its members in one pass.

    Each member reads the images at its own size; members of the same size share them. The models and a batch for each
    size are in memory.

    Args:
        models: as for `make_ensemble`; their modes do not change.
        source: images of the classes of the first model.
        batch_size: images per batch; no result depends on it.
        workers: loader processes.
        progress: whether to show a bar.

    Raises:
        UserError: if there are no images, the models do not fit together, or a score is infinite or NaN.
    """
    if not len(source):
        raise UserError("there are no images to measure on")
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        ensemble = make_ensemble(models)
        measured = [*models, ensemble]
        counts = [EvaluationCounts(model.spec.classes) for model in measured]
        answers = [SureAnswers(model) for model in measured]
        batches = loader(_ImagesOfMembers(source, models), batch_size, workers)
        for states in map_over_devices(partial(_measured, ensemble), batches, "measuring", progress):
            for (counted, answered), own_counts, own_answers in zip(states, counts, answers, strict=True):
                own_counts.merge(counted)
                own_answers.merge(answered)
    layers = [*(prototypes_of(model) for model in models), None]
    *members, whole = (
        with_answers(own_counts.result(layer), own_answers)
        for own_counts, own_answers, layer in zip(counts, answers, layers, strict=True)
    )
    return EnsembleEvaluation(ensemble.rule, tuple(members), whole)


class _ImagesOfMembers(Dataset[list[Batch]]):
    """Images at the size of each member; members of the same size share them."""

    def __init__(self, source: Source, models: Sequence[Classifier]) -> None:
        specs = {_size(model): model.spec.image for model in models}
        self.images = {size: ImageDataset(source, spec) for size, spec in specs.items()}
        self.sizes, self.count = [_size(model) for model in models], len(source)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Key) -> list[Batch]:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> list[Batch]:
        """Return a batch for each member; PyTorch's loaders call this."""
        batches = {size: images.__getitems__(keys) for size, images in self.images.items()}
        return [batches[size] for size in self.sizes]


def _measured(ensemble: Ensemble, batches: Sequence[Batch]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the counts for a batch of images by each member, and by the ensemble."""
    _, labels, indices = batches[0]
    outputs = ensemble.member_outputs([batch.images for batch in batches])
    states = []
    answering = (
        [*ensemble.models, ensemble],
        [*outputs, ensemble.combined(outputs)],
        [*ensemble.columns, None],
    )
    for model, output, order in zip(*answering, strict=True):
        counts, answers = EvaluationCounts(model.spec.classes), SureAnswers(model)
        own = labels if order is None else order[labels]
        extra = None if order is None else model.extra_metrics(output, own.to(model.device))
        counts.add(output, own, indices, extra)
        answers.add(output, own, indices)
        states.append((counts.state(), answers.state()))
    return states


def _size(model: Classifier) -> tuple[int, int, int]:
    return (*model.spec.image.size, model.spec.image.channels)
