"""How good an ensemble is, and each of its members, on a set of images."""

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
from resemblance.metrics.evaluation import Evaluation, Tally, measured_images
from resemblance.training.ends.passes import evaluating


@dataclass(frozen=True)
class EnsembleEvaluation:
    """What was counted of an ensemble and of its members.

    Args:
        rule: how the scores were put together.
        members: of each model alone, in order.
        whole: of all together.
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
    """Count the answers of an ensemble and of each member in one pass.

    Each member reads the images at its own size; members of the same size share them. Memory holds the models and a
    batch for each size.

    Args:
        models: as for `make_ensemble`; what they are left in does not change.
        source: images of the classes of the first.
        batch_size: images per batch; no result depends on it.
        workers: loader processes for each image size.
        progress: whether to show a bar.

    Raises:
        UserError: if there are no images, or the models make no ensemble.
    """
    specs = {_size(model): model.spec.image for model in models}
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        ensemble = make_ensemble(models)
        tallies = [Tally(model.spec.classes) for model in models]
        whole = Tally(ensemble.spec.classes)
        first, *others = [measured_images(spec, source, batch_size, workers) for spec in specs.values()]
        rest = [iter(reader) for reader in others]
        for batch in track(first, "measuring", progress):
            given = dict(zip(specs, [batch, *(next(reader) for reader in rest)], strict=True))
            outputs = ensemble.member_outputs([given[_size(model)].images for model in models])
            for model, tally, output, order in zip(models, tallies, outputs, ensemble.columns, strict=True):
                labels = order[batch.labels]
                tally.add(output, labels, batch.indices, model.extra_metrics(output, labels.to(model.device)))
            whole.add(ensemble.combined(outputs), batch.labels, batch.indices)
    members = [tally.result(prototypes_of(model)) for tally, model in zip(tallies, models, strict=True)]
    return EnsembleEvaluation(ensemble.rule, tuple(members), whole.result())


def _size(model: Classifier) -> tuple[int, int, int]:
    return (*model.spec.image.size, model.spec.image.channels)
