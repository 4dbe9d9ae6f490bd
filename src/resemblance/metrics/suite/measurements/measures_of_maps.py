"""Measures of the relevance maps: do the pixels that they mark decide, and do they agree with the black box."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from resemblance.data.text import share
from resemblance.metrics.paper.average_drop import AverageDrop
from resemblance.metrics.paper.average_increase import AverageIncrease
from resemblance.metrics.paper.pixels import (
    Baseline,
    Keep,
    baseline_images,
    kept_images,
    kept_pixels,
    pixel_order,
    random_order,
    zero_maps,
)
from resemblance.metrics.paper.relevance_ordering import RelevanceOrdering, ordering_curves
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement, item
from resemblance.metrics.suite.result import Curve, MeasureResult, Value, number
from resemblance.metrics.suite.subject import Subject
from resemblance.prototypes.geometry import SquaredDistance
from resemblance.prototypes.similarity import log_similarity
from resemblance.prototypes.vectors import VectorPrototypes

WITHOUT_RULES_IN_THE_PAPER = ("flint", "senn")


def outside_the_paper(subject: Subject) -> str | None:
    """Explain that the paper has no relevance rules for the method, if its definition is asked for."""
    if subject.settings.definition == "paper" and subject.model.name in WITHOUT_RULES_IN_THE_PAPER:
        return f"the paper has no relevance maps of {subject.model.name}; the default definition has"
    return None


def no_map(subject: Subject) -> str | None:
    """Explain that the model has no map of the kind that was asked for, if so."""
    return subject.map_problem


def positive_similarities(subject: Subject, similarities: Tensor) -> Tensor:
    """Return similarities; the log similarity of the distance for prototypes whose similarity is −d²."""
    layer = subject.prototypes
    if type(layer) is not VectorPrototypes or not isinstance(layer.geometry, SquaredDistance):
        return similarities
    negative = bool((layer.activation(torch.ones(1)) < 0).all())
    return log_similarity(-similarities) if negative else similarities


class AverageDropMeasurement(Measurement):
    """AD and AI: what remains of a similarity when only the more important half of the pixels is kept."""

    name: ClassVar[str] = "average-drop"
    title: ClassVar[str] = "Average drop and increase"
    needs = (outside_the_paper, no_map)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        definition = subject.settings.definition
        self.drop = AverageDrop(AverageDrop.nearest_definition(definition))
        self.random_drop = AverageDrop(AverageDrop.nearest_definition(definition))
        self.increase, self.random_increase = AverageIncrease(), AverageIncrease()
        self.released = definition == "released"
        grey = subject.model.spec.image.channels == 1
        self.baseline: Baseline = "zero" if grey and not self.released else "noise"
        self.keep: Keep = "least important" if self.released else "most important"

    def update(self, answers: Answers) -> None:
        """Ask the model about images with half of their pixels."""
        maps, which, present = self._maps(answers)
        size = (answers.images.shape[2], answers.images.shape[3])
        seed, indices = self.subject.settings.seed, answers.indices
        noise_of = torch.zeros_like(indices) if self.released else indices
        baseline = baseline_images(answers.images, noise_of, self.baseline, seed=seed)
        clean = self._strength(answers, answers.output.similarities, answers.probabilities, which)
        order = pixel_order(maps, indices, seed=seed)
        kept = self._remaining(answers, kept_pixels(order, size, keep=self.keep), baseline, which)
        at_random = random_order(indices, size[0] * size[1], seed=seed + 1)[:, None].expand_as(order)
        random = self._remaining(answers, kept_pixels(at_random, size), baseline, which)
        nothing = zero_maps(maps)[present]
        for metric, values in (
            (self.drop, kept),
            (self.increase, kept),
            (self.random_drop, random),
            (self.random_increase, random),
        ):
            metric.update(clean[present].cpu(), values[present].cpu(), nothing.cpu())

    def _maps(self, answers: Answers) -> tuple[Tensor, Tensor, Tensor]:
        """Return maps (B, K, H, W), what they are maps of (B, K), and which of them exist (B, K)."""
        if self.subject.explains is not None:
            return answers.own_maps, *answers.own
        which = answers.predicted[:, None]
        return answers.prediction_maps[:, None], which, torch.ones_like(which, dtype=torch.bool)

    def _strength(
        self, answers: Answers, similarities: Tensor, probabilities: Tensor, which: Tensor
    ) -> Tensor:
        if self.subject.explains is None:
            return probabilities.gather(1, which)
        return positive_similarities(self.subject, similarities.gather(1, which))

    def _remaining(self, answers: Answers, kept: Tensor, baseline: Tensor, which: Tensor) -> Tensor:
        """Return similarities (B, K) to the images with the kept pixels only."""
        images, columns = answers.images, which.shape[1]
        rows = torch.arange(len(answers), device=images.device).repeat_interleave(columns)
        masks, flat = kept.flatten(0, 1), which.flatten()
        size, parts = self.subject.settings.batch_size, []
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            chosen = rows[part]
            masked = kept_images(images[chosen], masks[part][:, None], baseline[chosen])[:, 0]
            output = answers.ask(masked)
            probabilities = self.subject.model.probabilities(output.scores)
            parts.append(self._strength(answers, output.similarities, probabilities, flat[part, None])[:, 0])
        return torch.cat(parts).reshape(which.shape)

    def result(self) -> MeasureResult:
        """Return AD and AI, with those of a random half of the pixels."""
        of = "prototypes and images" if self.subject.explains is not None else "images"
        what = "similarity" if self.subject.explains is not None else "probability of the predicted class"
        counted = self.drop.counted()
        left_out = {
            f"{of} whose {what} is not positive": counted["nonpositive"],
            f"{of} whose {what} is not a number": counted["undefined"],
        }
        drop, increase = item(self.drop.compute()), item(self.increase.compute())
        half = "more important" if not self.released else "less important (as the released code keeps)"
        values = (
            Value(
                "average_drop",
                "average drop (AD)",
                drop,
                "lower",
                f"With the {half} half of the pixels alone, the {what} drops by {share(drop)} on average.",
                "Near 0, and below that of a random half: the map marks what the model needs.",
                baseline=item(self.random_drop.compute()),
                baseline_of="a random half of the pixels",
                deviation=item(self.drop.deviation()),
                count=counted["measured"],
                of=of,
                left_out=left_out,
                share=True,
            ),
            Value(
                "average_increase",
                "average increase (AI)",
                increase,
                "higher",
                f"In {share(increase)} of the cases the {what} even rises.",
                "High, and above that of a random half: what the map leaves out only disturbed.",
                baseline=item(self.random_increase.compute()),
                baseline_of="a random half of the pixels",
                count=counted["measured"],
                of=of,
                left_out=left_out,
                share=True,
            ),
        )
        zero = counted["zero_maps"]
        notes = (f"{zero} maps are zero everywhere; a random half of the pixels was kept.",) if zero else ()
        return MeasureResult(
            self.name,
            self.title,
            f"Half of the pixels, those that the maps ({self.subject.kind}) call less important, are replaced by "
            f"{'black' if self.baseline == 'zero' else 'noise'}, and the model is asked again.",
            values,
            notes=notes,
        )


class OrderingMeasurement(Measurement):
    """RO: how fast the prediction returns when important pixels are added first."""

    name: ClassVar[str] = "relevance-ordering"
    title: ClassVar[str] = "Relevance ordering"
    needs = (no_map,)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.ordering = RelevanceOrdering(subject.settings.steps)

    def update(self, answers: Answers) -> None:
        """Compute the curves of a batch, by relevance and in random order."""
        maps, settings, indices = answers.prediction_maps, self.subject.settings, answers.indices
        baseline = baseline_images(answers.images, indices, "noise", seed=settings.seed)

        def probabilities(images: Tensor) -> Tensor:
            return self.subject.model.probabilities(answers.ask(images).scores)

        orders = (
            pixel_order(maps, indices, seed=settings.seed),
            random_order(indices, maps[0].numel(), seed=settings.seed + 1),
        )
        by_relevance, at_random = (
            ordering_curves(
                probabilities,
                answers.images,
                order,
                answers.predicted,
                baseline,
                fractions=self.ordering.fractions,
                batch_size=settings.batch_size,
            )
            for order in orders
        )
        self.ordering.update(by_relevance.cpu(), at_random.cpu(), zero_maps(maps).cpu())

    def result(self) -> MeasureResult:
        """Return the areas and the curves."""
        value, random = item(self.ordering.compute()), item(self.ordering.random_area())
        counted = self.ordering.counted()
        x = tuple(self.ordering.fractions.tolist())
        curves = (
            Curve("by relevance", x, tuple(self.ordering.curve().tolist())),
            Curve("in random order", x, tuple(self.ordering.random_curve().tolist()), baseline=True),
        )
        better = "better than" if value > random else "no better than"
        zero = counted["zero_maps"]
        return MeasureResult(
            self.name,
            self.title,
            "Beginning with noise, pixels are added in the order of their relevance, and the probability of the "
            "predicted class is recorded. The area under this curve is large if few pixels are enough.",
            (
                Value(
                    "relevance_ordering",
                    "relevance ordering (area)",
                    value,
                    "higher",
                    f"The area is {number(value)}, {better} in random order ({number(random)}).",
                    "Well above the area in random order; equal to it, the map says nothing about the prediction.",
                    baseline=random,
                    baseline_of="random order",
                    deviation=item(self.ordering.deviation()),
                    count=counted["measured"],
                    left_out={"images with a probability that is not a number": counted["undefined"]},
                    share=True,
                ),
            ),
            curves,
            notes=(f"{zero} maps are zero everywhere; their pixels were added at random.",) if zero else (),
        )
