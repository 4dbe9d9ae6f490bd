"""Several models that answer together.

Scores that are all logits are summed, as ProtoPNet, TesNet and their kin do: the sum is again a sum of
contributions, those of all members side by side. Other scores are turned into probabilities and averaged, as
ProtoTree's: logits by softmax, votes by dividing by all votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.output import Evidence, Output
from resemblance.core.prototype_model import PrototypeModel, prototypes_of
from resemblance.core.traits import ScoreKind
from resemblance.data.progress import track
from resemblance.data.sources.source import Source
from resemblance.metrics.evaluation import Evaluation, Tally, measured_images
from resemblance.training.ends.passes import evaluating

Rule = Literal["sum of the logits", "mean of the probabilities"]


def rule_for(kinds: Sequence[ScoreKind]) -> Rule:
    """How scores of these kinds are put together.

    Example:
        >>> rule_for(["logit", "logit"]), rule_for(["logit", "votes"])
        ('sum of the logits', 'mean of the probabilities')
    """
    return "sum of the logits" if set(kinds) == {"logit"} else "mean of the probabilities"


def probabilities(scores: Tensor, kind: ScoreKind) -> Tensor:
    """Scores (B, C) as probabilities: softmax of logits, shares of votes, equal where there are none.

    Example:
        >>> probabilities(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), "votes")
        tensor([[0.7500, 0.2500],
                [0.5000, 0.5000]])
    """
    if kind == "logit":
        return scores.softmax(dim=1)
    if kind == "probability":
        return scores
    total = scores.sum(dim=1, keepdim=True)
    return torch.where(total > 0, scores / total.clamp_min(1e-12), 1 / scores.shape[1])


def combine(scores: Sequence[Tensor], kinds: Sequence[ScoreKind]) -> Tensor:
    """The scores (B, C) of an ensemble.

    Args:
        scores: (B, C) of each member, the same images and classes.
        kinds: what each member's scores are.

    Returns:
        The sum of the logits where all are logits, else the mean of the probabilities.

    Example:
        >>> two = [torch.tensor([[2.0, 0.0]]), torch.tensor([[-1.0, 0.5]])]
        >>> combine(two, ["logit", "logit"])
        tensor([[1.0000, 0.5000]])
    """
    if rule_for(kinds) == "sum of the logits":
        return torch.stack(list(scores)).sum(dim=0)
    return torch.stack([probabilities(s, kind) for s, kind in zip(scores, kinds, strict=True)]).mean(dim=0)


class Ensemble:
    """Models of the same classes as one; of any methods, image sizes and channels.

    Args:
        models: two or more; classes may be in any order, the ensemble has that of the first.

    Raises:
        UserError: if there are fewer than two, or their classes differ.

    Example:
        >>> import resemblance
        >>> image = resemblance.ImageSpec(28, 28, 1, (0.0,), (1.0,))
        >>> spec = resemblance.ModelSpec(("zero", "one"), image)
        >>> models = [resemblance.build("prototypedl", {}, spec).eval() for _ in range(2)]
        >>> both, images = Ensemble(models), torch.rand(3, 1, 28, 28)
        >>> bool(torch.equal(both([images, images]), models[0](images).scores + models[1](images).scores))
        True
    """

    def __init__(self, models: Sequence[Classifier]) -> None:
        if len(models) < 2:
            raise UserError(f"an ensemble needs at least 2 models, not {len(models)}")
        self.models = tuple(models)
        self.classes = models[0].spec.classes
        self.kinds = tuple(model.traits.score_kind for model in models)
        self.rule = rule_for(self.kinds)
        for number, model in enumerate(models[1:], 2):
            _check_classes(self.classes, model.spec.classes, number)
        # Where each of the ensemble's classes stands in each model.
        self.columns = [
            torch.tensor([model.spec.classes.index(name) for name in self.classes]) for model in models
        ]

    def outputs(self, images: Sequence[Tensor]) -> list[Output]:
        """Each member's answer, its classes in its own order.

        Args:
            images: (B, C, H, W) in [0, 1] for each member, at that member's size.
        """
        return [model(given) for model, given in zip(self.models, images, strict=True)]

    def scores(self, outputs: Sequence[Output]) -> Tensor:
        """The ensemble's scores (B, C) from its members' answers, on the device of the first."""
        here = outputs[0].scores.device
        pairs = zip(outputs, self.columns, strict=True)
        return combine([output.scores.to(here)[:, columns.to(here)] for output, columns in pairs], self.kinds)

    def __call__(self, images: Sequence[Tensor]) -> Tensor:
        """The ensemble's scores (B, C) for images as `outputs` takes them."""
        return self.scores(self.outputs(images))

    def evidence(self, outputs: Sequence[Output], classes: Tensor) -> list[Evidence]:
        """The members' evidence side by side; together it adds up to the scores of ``classes`` (B,).

        Raises:
            UserError: if a member has none, or the scores are not summed.
        """
        if self.rule != "sum of the logits":
            raise UserError(
                "contributions add up only where logits are summed; explain the members one by one"
            )
        for model in self.models:
            if not isinstance(model, PrototypeModel):
                raise UserError(f"{model.name} has no evidence; leave it out of the ensemble, or convert it")
        return [
            model.evidence(output, columns[classes.cpu()].to(model.device))
            for model, output, columns in zip(self.models, outputs, self.columns, strict=True)
        ]


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
        """A JSON-ready dictionary: the whole, with rule and members."""
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
    """Count right and wrong answers of an ensemble and of each member in one pass.

    Members that read images of the same size share them. Memory holds the models and a batch for each size.

    Args:
        models: as for `Ensemble`; what they are left in does not change.
        source: images of the classes of the first.
        batch_size: images a batch; no result depends on it.
        workers: loader processes for each image size.
        progress: whether to show a bar.

    Raises:
        UserError: if there are no images, or the models make no ensemble.
    """
    ensemble = Ensemble(models)
    tallies = [Tally(model.spec.classes) for model in models]
    whole = Tally(ensemble.classes)
    specs = {_size(model): model.spec.image for model in models}
    first, *others = [measured_images(spec, source, batch_size, workers) for spec in specs.values()]
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        rest = [iter(reader) for reader in others]
        for batch in track(first, "measuring", progress):
            given = dict(zip(specs, [batch, *(next(reader) for reader in rest)], strict=True))
            images = [given[_size(model)].images.to(model.device, non_blocking=True) for model in models]
            outputs = ensemble.outputs(images)
            for model, tally, output, columns in zip(models, tallies, outputs, ensemble.columns, strict=True):
                labels = columns[batch.labels]
                tally.add(output, labels, batch.indices, model.extra_metrics(output, labels.to(model.device)))
            together = Output(ensemble.scores(outputs), outputs[0].similarities[:, :0], outputs[0].latents)
            whole.add(together, batch.labels, batch.indices)
    members = [tally.result(prototypes_of(model)) for tally, model in zip(tallies, models, strict=True)]
    return EnsembleEvaluation(ensemble.rule, tuple(members), whole.result())


def _size(model: Classifier) -> tuple[int, int, int]:
    return (*model.spec.image.size, model.spec.image.channels)


def _check_classes(first: tuple[str, ...], other: tuple[str, ...], number: int) -> None:
    parts = []
    for who, names in (("the first", set(first) - set(other)), (f"model {number}", set(other) - set(first))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"only {who} knows {', '.join(sorted(names)[:3])}{more}")
    if parts:
        raise UserError(f"the models of an ensemble must tell apart the same classes; {'; '.join(parts)}")
