"""Measures of what should and should not change maps and contributions: place, noise, attacks, random weights."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from resemblance.data.text import share
from resemblance.metrics.since.distinctiveness import Distinctiveness
from resemblance.metrics.since.max_sensitivity import MaximumSensitivity, changed_contributions
from resemblance.metrics.since.misalignment import Misalignment, Response
from resemblance.metrics.since.outside_attack import STEPS, outside_attack, outside_of
from resemblance.metrics.since.parameter_randomization import ParameterRandomization, randomized_maps
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement, item
from resemblance.metrics.suite.measurements.measures_of_maps import no_map
from resemblance.metrics.suite.measurements.measures_of_prediction import share_interval
from resemblance.metrics.suite.measurements.summaries import SummaryMeasurement
from resemblance.metrics.suite.model_subject import no_gradient, no_owners, no_places, no_prototypes
from resemblance.metrics.suite.result import MeasureResult, Value
from resemblance.metrics.suite.subject import Subject
from resemblance.training.attacks.classification import STEPS as ACCURACY_STEPS
from resemblance.training.attacks.classification import adversarial_accuracy
from resemblance.training.attacks.noise import ImageNoise
from resemblance.training.attacks.pgd import Attacked

FEW = 64  # images for measures that need many passes for each


class DistinctivenessMeasurement(SummaryMeasurement):
    """Whether the prototypes of a class look at different places of an image."""

    name: ClassVar[str] = "distinctiveness"
    title: ClassVar[str] = "Distinctiveness"
    needs = (no_prototypes, no_owners, no_map)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        released = subject.settings.definition == "released"
        self.metric = Distinctiveness(
            subject.model.spec.image.size,
            definition="released" if released else "default",
            seed=subject.settings.seed,
        )

    def update(self, answers: Answers) -> None:
        """Compare where the maps of a batch have their maxima."""
        which, present = answers.own
        self.metric.update(answers.own_maps.cpu(), which.masked_fill(~present, -1).cpu())

    def result(self) -> MeasureResult:
        """Return the mean distance of the places."""
        return self.summarized(
            "1 minus the overlap of what two prototypes of a class mark is {value} on average; places drawn at random "
            "reach {baseline}.",
            "Near 1; but prototypes that mark fixed places far apart, and know nothing, reach it too.",
            "Boxes about the maxima of the maps of a class's prototypes: how little do they overlap?",
            baseline="random place",
        )


class MisalignmentMeasurement(SummaryMeasurement):
    """Whether pixels outside of the box that a prototype marks can change its similarity."""

    name: ClassVar[str] = "misalignment"
    title: ClassVar[str] = "Spatial misalignment"
    needs = (no_prototypes, no_places, no_gradient)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        definition = "released" if subject.settings.definition == "released" else "default"
        self.metric = Misalignment(
            subject.model.spec.image.size, definition=definition, seed=subject.settings.seed
        )

    def update(self, answers: Answers) -> None:
        """Attack the pixels outside of the box of the prototype that contributes most."""
        model, settings, top = self.subject.model, self.subject.settings, answers.top
        size, images = model.spec.image.size, answers.images
        outside = outside_of(self._maps(answers, images), size)

        def attacked(rows: slice, definition: str) -> Attacked:
            def similarity(changed: Tensor) -> Tensor:
                similarities: Tensor = model(changed).similarities
                return similarities.gather(1, top[rows, None])[:, 0]

            return outside_attack(
                similarity,
                images[rows],
                outside[rows],
                definition=definition,
                std=model.spec.image.std,
                noise=ImageNoise(settings.seed, answers.indices[rows]),
            )

        answers.cost.forward += 4 * len(answers)
        answers.cost.gradients += STEPS * len(answers)
        attacks = [attacked(rows, "default") for rows in answers.parts]
        changed, blind = torch.cat([one.images for one in attacks]), torch.cat([one.blind for one in attacks])
        noise = torch.cat([attacked(rows, "released").images for rows in answers.parts])
        before, after, by_noise = (self._response(answers, these) for these in (images, changed, noise))
        if self.metric.definition == "released":
            after = by_noise
        self.metric.update(
            before,
            after,
            top.cpu(),
            self.subject.prototypes.owners.cpu(),
            answers.labels.cpu(),
            noise=by_noise,
            outside=outside.cpu(),
            blind=blind.cpu(),
        )

    def _maps(self, answers: Answers, images: Tensor) -> Tensor:
        output = answers.output if images is answers.images else answers.ask(images)
        return answers.similarity_maps(images, answers.top[:, None], output)[:, 0]

    def _response(self, answers: Answers, images: Tensor) -> Response:
        output = answers.output if images is answers.images else answers.ask(images)
        maps = answers.similarity_maps(images, answers.top[:, None], output)[:, 0]
        return Response(output.similarities.cpu(), maps.cpu(), output.scores.argmax(dim=1).cpu())

    def result(self) -> MeasureResult:
        """Return how far the similarity falls, and what else changes."""
        return self.summarized(
            "Changes that cannot be seen, outside of the box alone, lower the similarity by {value} % on average; "
            "noise by {baseline} %.",
            "Near 0: the prototype depends on what its box shows. With large receptive fields that is rare.",
            "The box shows where a prototype was found. An attack changes only pixels outside of it, by at most 8 of "
            "255 grey levels, so as to lower the prototype's similarity: the box promises that this has no effect.",
            baseline="activation change by noise",
            variants={
                "ranking change": "{value} more prototypes of other classes are then more similar, on average.",
                "location change": "The strongest tenth of the map then differs by {value} %.",
                "accuracy change": "The accuracy falls by {value} percentage points.",
            },
            share=False,
        )


class RandomisationMeasurement(SummaryMeasurement):
    """Whether the maps change when the weights are replaced by random ones."""

    name: ClassVar[str] = "randomisation"
    title: ClassVar[str] = "Parameter randomisation"
    most: ClassVar[int | None] = FEW
    needs = (no_map,)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.metric = ParameterRandomization(seed=subject.settings.seed)

    def update(self, answers: Answers) -> None:
        """Compare the maps of the prediction before and after all weights were shuffled."""
        before, predicted = answers.prediction_maps, answers.predicted
        top = answers.top[:, None] if self.subject.explains is not None else None

        def maps() -> Tensor:
            if top is None:
                return answers.class_maps(self.subject.model, predicted)
            return answers.maps(answers.images, top)[:, 0]

        [random] = randomized_maps(self.subject.model, maps, order="all", seed=self.subject.settings.seed)
        self.metric.update(before.cpu(), random.maps.cpu())

    def result(self) -> MeasureResult:
        """Return the correlation of the maps."""
        return self.summarized(
            "The maps of the model and of one with shuffled weights correlate by {value}; maps of different images by "
            "{baseline}.",
            "Near 0, or what maps of different images have: a map that survives random weights shows the image, not "
            "the model.",
            "All weights are shuffled, so that the model knows nothing, and the maps are made again.",
            share=False,
        )


class SensitivityMeasurement(SummaryMeasurement):
    """How much the contributions change with a change of the image that cannot be seen."""

    name: ClassVar[str] = "sensitivity"
    title: ClassVar[str] = "Maximum sensitivity"
    needs = (no_prototypes,)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.metric = MaximumSensitivity(seed=subject.settings.seed)

    def update(self, answers: Answers) -> None:
        """Compare the contributions near each image with its own."""
        model, predicted = self.subject.explains, answers.predicted
        assert model is not None

        def contributions(images: Tensor) -> Tensor:
            with torch.no_grad():
                return model.evidence(answers.ask(images), predicted).contributions

        before, after = changed_contributions(
            contributions,
            answers.images,
            noise=ImageNoise(self.subject.settings.seed, answers.indices),
        )
        self.metric.update(before.cpu(), after.cpu())

    def result(self) -> MeasureResult:
        """Return the mean of the largest relative changes."""
        return self.summarized(
            "Random changes of at most 8 of 255 grey levels change the contributions by up to {value} of their length, "
            "on average.",
            "Near 0: similar images get similar reasons. Contributions that never change reach 0 whatever they say.",
            "Each image is changed at random ten times, too little to be seen, and the largest change of the "
            "contributions counts.",
            share=False,
        )


class RobustAccuracyMeasurement(Measurement):
    """Accuracy under an attack on the prediction, beside the accuracy without one."""

    name: ClassVar[str] = "robust-accuracy"
    title: ClassVar[str] = "Adversarial accuracy"
    needs = (no_gradient,)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.clean, self.robust = MeanMetric(), MeanMetric()

    def update(self, answers: Answers) -> None:
        """Attack the prediction for each image of a batch."""
        answers.cost.forward += 2 * len(answers)
        answers.cost.gradients += ACCURACY_STEPS * len(answers)
        for rows in answers.parts:
            withstood = adversarial_accuracy(
                self.subject.model,
                answers.images[rows],
                answers.labels[rows],
                start=ImageNoise(self.subject.settings.seed, answers.indices[rows]),
            )
            self.robust.update(withstood.cpu())
        self.clean.update((answers.predicted == answers.labels).cpu())

    def result(self) -> MeasureResult:
        """Return both accuracies."""
        clean, robust, count = item(self.clean.compute()), item(self.robust.compute()), int(self.clean.weight)
        values = (
            Value(
                "robust_accuracy",
                "adversarial accuracy",
                robust,
                "higher",
                f"{share(robust)} of {count} images are still classified correctly after an attack, "
                f"{share(clean)} before it.",
                "Close to the accuracy before it. Without adversarial training, most models fall to about 0.",
                interval=share_interval(robust, count),
                count=count,
                share=True,
            ),
            Value(
                "robust_accuracy_clean",
                "accuracy before the attack",
                clean,
                "higher",
                f"{share(clean)} of the same images are classified correctly as they are.",
                "As for the accuracy.",
                interval=share_interval(clean, count),
                count=count,
                share=True,
            ),
        )
        return MeasureResult(
            self.name,
            self.title,
            "Each image is changed so as to be misclassified, by at most 8 of 255 grey levels per pixel, too little to "
            "be seen: ten steps along the gradient of the scores, from a random start (PGD).",
            values,
        )
