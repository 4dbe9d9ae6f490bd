"""Measure an ensemble, and each of its members, on a set of images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.progress import track
from resemblance.data.sources.source import Source
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.methods.ensemble.rule import Rule
from resemblance.metrics.evaluation import Evaluation, EvaluationCounts, measured_images, with_answers
from resemblance.metrics.sure_answers import SureAnswers
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
        workers: loader processes for each image size.
        progress: whether to show a bar.

    Raises:
        UserError: if there are no images, the models do not fit together, or a score is infinite or NaN.
    """
    specs = {_size(model): model.spec.image for model in models}
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        ensemble = make_ensemble(models)
        counts_of_members = [EvaluationCounts(model.spec.classes) for model in models]
        answers_of_members = [SureAnswers(model) for model in models]
        whole, answers = EvaluationCounts(ensemble.spec.classes), SureAnswers(ensemble)
        first, *others = [measured_images(spec, source, batch_size, workers) for spec in specs.values()]
        rest = [iter(reader) for reader in others]
        for batch in track(first, "measuring", progress):
            batches = dict(zip(specs, [batch, *(next(reader) for reader in rest)], strict=True))
            outputs = ensemble.member_outputs([batches[_size(model)].images for model in models])
            for model, counts, member_answers, output, order in zip(
                models, counts_of_members, answers_of_members, outputs, ensemble.columns, strict=True
            ):
                labels = order[batch.labels]
                member_answers.add(output, labels, batch.indices)
                counts.add(
                    output, labels, batch.indices, model.extra_metrics(output, labels.to(model.device))
                )
            combined = ensemble.combined(outputs)
            whole.add(combined, batch.labels, batch.indices)
            answers.add(combined, batch.labels, batch.indices)
    members = [
        with_answers(counts.result(prototypes_of(model)), member_answers)
        for counts, member_answers, model in zip(counts_of_members, answers_of_members, models, strict=True)
    ]
    return EnsembleEvaluation(ensemble.rule, tuple(members), with_answers(whole.result(), answers))


def _size(model: Classifier) -> tuple[int, int, int]:
    return (*model.spec.image.size, model.spec.image.channels)
