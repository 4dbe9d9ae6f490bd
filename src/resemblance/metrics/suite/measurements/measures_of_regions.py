"""Measures against annotated regions: object parts, boxes or masks of the images."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from resemblance.metrics.since.comprehensiveness import Comprehensiveness
from resemblance.metrics.since.consistency import Consistency
from resemblance.metrics.since.patches import cell_patches
from resemblance.metrics.since.pointing_game import PointingGame
from resemblance.metrics.since.purity import Purity
from resemblance.metrics.since.relevance_mass import RelevanceMass
from resemblance.metrics.since.stability import Stability
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurements.measures_of_maps import no_map
from resemblance.metrics.suite.measurements.summaries import SummaryMeasurement
from resemblance.metrics.suite.model_subject import no_owners, no_places, no_prototypes
from resemblance.metrics.suite.result import MeasureResult
from resemblance.metrics.suite.subject import Subject, no_regions
from resemblance.training.attacks.noise import ImageNoise, noisy_images


def masks_only(subject: Subject) -> str | None:
    """Explain that masks have no points to hit, if so."""
    if subject.regions is not None and subject.regions.kind == "masks":
        return "it needs object parts or boxes; masks have no points that could be hit"
    return None


def points_only(subject: Subject) -> str | None:
    """Explain that points have no area, if so."""
    if subject.regions is not None and subject.regions.kind == "points":
        return "it needs masks or boxes; points have no area"
    return None


class RegionMeasurement(SummaryMeasurement):
    """A measurement against the regions of the images."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's images."""
        return self.subject.model.spec.image.size

    def own(self, answers: Answers) -> tuple[Tensor, Tensor]:
        """Return the maps (B, K, H, W) of the prototypes of the true class, and their numbers (B, K), −1 for none."""
        which, present = answers.own
        return answers.own_maps.cpu(), which.masked_fill(~present, -1).cpu()

    @property
    def definition(self) -> str:
        """The definition that the metric has."""
        return "released" if self.subject.settings.definition == "released" else "default"


class ConsistencyMeasurement(RegionMeasurement):
    """Whether a prototype points to the same object part in all images of its class."""

    name: ClassVar[str] = "consistency"
    title: ClassVar[str] = "Consistency"
    needs = (no_prototypes, no_owners, no_map, no_regions, masks_only)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        seed, count = subject.settings.seed, len(subject.prototypes)
        self.metric = Consistency(count, self.size, definition=self.definition, seed=seed)

    def update(self, answers: Answers) -> None:
        """Look which parts the maps of a batch hit."""
        maps, which = self.own(answers)
        self.metric.update(maps, which, answers.labels.cpu(), answers.regions)

    def result(self) -> MeasureResult:
        """Return the share of consistent prototypes."""
        return self.summarized(
            "{value} % of the prototypes hit the same part in at least 80 % of the images that show it; the best "
            "constant place of the picture, which knows nothing, reaches {baseline} %.",
            "Near 100, and well above the best constant place: where objects are centred, that place alone is "
            "consistent.",
            "A box about the maximum of a prototype's map hits the object parts whose points lie in it. A prototype is "
            "consistent if it hits one part in at least 80 % of the images of its class that show the part.",
            baseline="best constant place",
            of="prototypes",
            share=False,
        )


class StabilityMeasurement(RegionMeasurement):
    """Whether a prototype hits the same object parts when noise is added to the image."""

    name: ClassVar[str] = "stability"
    title: ClassVar[str] = "Stability"
    needs = (no_prototypes, no_owners, no_map, no_regions, masks_only)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        seed, count = subject.settings.seed, len(subject.prototypes)
        self.metric = Stability(count, self.size, definition=self.definition, seed=seed)

    def update(self, answers: Answers) -> None:
        """Compare the parts that the maps hit with and without noise."""
        maps, which = self.own(answers)
        noisy = noisy_images(
            answers.images,
            self.subject.model.spec.image.std,
            ImageNoise(self.subject.settings.seed, answers.indices),
            clip=self.definition == "default",
        )
        after = answers.maps(noisy, answers.own[0]).cpu()
        self.metric.update(maps, after, which, answers.labels.cpu(), answers.regions)

    def result(self) -> MeasureResult:
        """Return the share of images whose parts are unchanged."""
        return self.summarized(
            "In {value} % of the images noise leaves the parts that a prototype hits unchanged.",
            "Near 100; but a prototype that always marks the same place, or the background, is stable too: read it "
            "together with consistency.",
            "Faint noise is added to the image; the parts that a prototype hits should stay the same.",
            of="images",
            share=False,
        )


class PurityMeasurement(RegionMeasurement):
    """Whether the patches that a prototype likes best show the same object part."""

    name: ClassVar[str] = "purity"
    title: ClassVar[str] = "Purity"
    needs = (no_prototypes, no_places, no_regions, masks_only)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        count = len(subject.prototypes)
        self.metric = Purity(count, self.size, definition=self.definition, seed=subject.settings.seed)

    def update(self, answers: Answers) -> None:
        """Find the patches of a batch that are most similar to the prototypes."""
        prototypes, latents = self.subject.prototypes, answers.output.latents
        cells = prototypes.match(latents).cells
        boxes = cell_patches(cells, prototypes.grid(latents), self.size, definition=self.definition)
        self.metric.update(
            answers.output.similarities.cpu(), boxes.cpu(), answers.regions, answers.indices.cpu()
        )

    def result(self) -> MeasureResult:
        """Return the mean purity."""
        return self.summarized(
            "On average {value} of a prototype's ten best patches show its most frequent part; of patches at random "
            "places of the same images, {baseline}.",
            "Near 1, and well above patches at random places.",
            "The ten patches that are most similar to a prototype are looked at: do they show the same object part?",
            of="patches",
        )


class ComprehensivenessMeasurement(RegionMeasurement):
    """How much of the object the maps of the true class cover together."""

    name: ClassVar[str] = "comprehensiveness"
    title: ClassVar[str] = "Comprehensiveness"
    needs = (no_prototypes, no_owners, no_map, no_regions, points_only)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.metric = Comprehensiveness(self.size, definition=self.definition, seed=subject.settings.seed)

    def update(self, answers: Answers) -> None:
        """Compare what the maps of a batch mark with the masks."""
        self.metric.update(*self.own(answers), answers.regions)

    def result(self) -> MeasureResult:
        """Return the mean overlap."""
        return self.summarized(
            "What the prototypes of the class mark together overlaps with the object by {value} (intersection over "
            "union); marking the whole image reaches {baseline}.",
            "Near 1: together the prototypes look at the object, and at nothing else.",
            "The pixels that the maps of the true class mark, together, are compared with the object's mask.",
            baseline="whole image",
        )


class PointingGameMeasurement(RegionMeasurement):
    """Whether the strongest pixel of the map of the prediction lies on the object."""

    name: ClassVar[str] = "pointing-game"
    title: ClassVar[str] = "Pointing game"
    needs = (no_map, no_regions)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.metric = PointingGame(self.size, seed=subject.settings.seed)

    def update(self, answers: Answers) -> None:
        """Look where the maxima of the maps lie."""
        self.metric.update(answers.prediction_maps.cpu(), answers.regions)

    def result(self) -> MeasureResult:
        """Return the share of hits."""
        return self.summarized(
            "In {value} of the images the strongest pixel of the map lies on the object; the best constant place of "
            "the picture reaches {baseline}.",
            "Near 1, and above the best constant place.",
            "Does the strongest pixel of the map, of the prototype that contributes most to the prediction, lie in the "
            "annotated region?",
            baseline="best constant place",
        )


class RelevanceMassMeasurement(RegionMeasurement):
    """How much of the positive relevance of the prediction's map lies on the object."""

    name: ClassVar[str] = "relevance-mass"
    title: ClassVar[str] = "Relevance mass"
    needs = (no_map, no_regions)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.metric = RelevanceMass(self.size, seed=subject.settings.seed)

    def update(self, answers: Answers) -> None:
        """Add up the relevance inside of the regions."""
        self.metric.update(answers.prediction_maps.cpu(), answers.regions)

    def result(self) -> MeasureResult:
        """Return the mean share."""
        return self.summarized(
            "{value} of the positive relevance lies on the object, which covers {baseline} of the image.",
            "Well above the object's share of the image.",
            "The share of the map's positive relevance that lies in the annotated region.",
            baseline="area of the region",
        )
