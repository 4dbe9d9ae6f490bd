"""Measures of the prototypes themselves: are they used, and are they different."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from resemblance.data.text import share
from resemblance.metrics.paper.diversity import Diversity
from resemblance.metrics.paper.ghosting import Ghosting
from resemblance.metrics.suite.answers import Answers
from resemblance.metrics.suite.measurement import Measurement, item
from resemblance.metrics.suite.model_subject import no_owners, no_prototypes, no_training_images
from resemblance.metrics.suite.result import MeasureResult, Value, number
from resemblance.metrics.suite.subject import Subject
from resemblance.prototypes.geometry import SquaredDistance
from resemblance.prototypes.pairwise import released_similarities
from resemblance.prototypes.vectors import VectorPrototypes


class GhostingMeasurement(Measurement):
    """D_tsp: prototypes that are never the most similar one of a training image."""

    name: ClassVar[str] = "ghosting"
    title: ClassVar[str] = "Ghosting"
    over = "train"
    needs = (no_prototypes, no_training_images)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        owners = subject.prototypes.owners.cpu()
        self.everywhere = Ghosting(owners)
        self.own = Ghosting(owners, "own images")
        self.patches_vote = subject.model.traits.score_kind == "votes"

    def update(self, answers: Answers) -> None:
        """Count the most similar prototype of each training image, or of each of its patches where these vote."""
        similarities, labels = answers.output.similarities, answers.labels
        if self.patches_vote:
            with torch.no_grad():
                places = self.subject.prototypes.maps(answers.output.latents).flatten(2)  # (B, P, cells)
            similarities = places.transpose(1, 2).flatten(0, 1)
            labels = labels.repeat_interleave(places.shape[2])
        similarities, labels = similarities.cpu(), labels.cpu()
        self.everywhere.update(similarities, labels)
        if self.subject.owned:
            self.own.update(similarities, labels)

    def result(self) -> MeasureResult:
        """Return the share of ghosted prototypes, among all images and among those of the prototype's class."""
        words = self.subject.model.traits.words
        ghosts = self.everywhere.ghosted()
        count, ghosted = len(ghosts), int(ghosts.sum())
        counted = self.everywhere.counted()
        points = "patches of training images" if self.patches_vote else "training images"
        says = (
            f"{ghosted} of {count} {words.many} {'is' if ghosted == 1 else 'are'} not the most similar one for any of "
            f"{counted['images']} {points}."
        )
        values = [
            Value(
                "ghosting",
                "ghosting (D_tsp)",
                item(self.everywhere.compute()),
                "lower",
                says
                if ghosted
                else f"Each of the {count} {words.many} is the most similar one for some of "
                f"{counted['images']} {points}.",
                "0: every prototype that is shown is one that the model uses.",
                count=count,
                of="prototypes",
                left_out={f"{points} with a similarity that is not a number": counted["undefined"]},
                share=True,
            )
        ]
        if self.subject.owned:
            own = item(self.own.compute())
            values.append(
                Value(
                    "ghosting_own_class",
                    "ghosting, images of the own class",
                    own,
                    "lower",
                    f"{share(own)} of the {words.many} are not the most similar one for any of the {points} of "
                    "their class.",
                    "0, and not above the line before by much: a prototype that only images of other classes "
                    "resemble says nothing about its class.",
                    count=count,
                    of="prototypes",
                    left_out={
                        f"{points} that resemble a prototype of another class most": self.own.counted()[
                            "foreign"
                        ]
                    },
                    share=True,
                )
            )
        if self.subject.settings.definition == "paper":
            printed = 1 - counted["images"] / max(counted["images"] * count, 1)
            values.append(
                Value(
                    "ghosting_printed",
                    "ghosting, formula as printed",
                    printed,
                    None,
                    f"The printed formula is 1 − 1/{count} for every model.",
                    "None: it says nothing about the model. The paper's table holds the share above.",
                    count=count,
                    of="prototypes",
                )
            )
        ties = counted["ties"]
        notes = (
            (f"{ties} {points} have several most similar prototypes; the first of them counts.",)
            if ties
            else ()
        )
        return MeasureResult(
            self.name,
            self.title,
            "A prototype that is never the most similar one of any training image is a ghost: it is shown as part of "
            "the model, but stands for nothing that the model has seen.",
            tuple(values),
            details={
                "importances": self.everywhere.importances().tolist(),
                "ghosted": ghosts.nonzero().flatten().tolist(),
            },
            notes=notes,
        )


def no_comparison(subject: Subject) -> str | None:
    """Explain that the prototypes cannot be compared with each other, if so."""
    if subject.explains is not None and subject.explains.prototype_similarities() is not None:
        return None
    return f"the prototypes of {subject.model.name} cannot be compared with each other"


class DiversityMeasurement(Measurement):
    """D_dvs: how alike the prototypes of a class are, by the model's own similarity."""

    name: ClassVar[str] = "diversity"
    title: ClassVar[str] = "Diversity"
    over = "none"
    needs = (no_prototypes, no_owners, no_comparison)

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.definition = Diversity.nearest_definition(subject.settings.definition)
        self.diversity = Diversity(definition=self.definition)

    def update(self, answers: Answers) -> None:
        """Do nothing: no image is needed."""

    def result(self) -> MeasureResult:
        """Compare the prototypes."""
        prototypes = self.subject.prototypes
        self.diversity.reset()
        self.diversity.update(self._similarities(), prototypes.owners.cpu())
        counted, value = self.diversity.counted(), item(self.diversity.compute())
        return MeasureResult(
            self.name,
            self.title,
            "How similar the prototypes of a class are to each other, by the model's own similarity: 0 if each "
            "resembles only itself, 1 if all of them are the same.",
            (
                Value(
                    "diversity",
                    "diversity (D_dvs)",
                    value,
                    "lower",
                    f"The prototypes of a class are alike to {number(value)} of what identical ones would be.",
                    "Near 0: each prototype of a class shows something else.",
                    baseline=1.0,
                    baseline_of="identical prototypes",
                    count=counted["classes"],
                    of="classes",
                    left_out={
                        "classes with a single prototype": counted["single"],
                        "prototypes with a similarity that is not a number": counted["undefined"],
                    },
                    share=True,
                ),
            ),
        )

    def _similarities(self) -> Tensor:
        model, prototypes = self.subject.explains, self.subject.prototypes
        assert model is not None
        vectors = isinstance(prototypes, VectorPrototypes) and isinstance(
            prototypes.geometry, SquaredDistance
        )
        if self.definition == "released" and vectors:
            return released_similarities(prototypes.vectors, squared=model.name == "protopnet").cpu()
        similarities = model.prototype_similarities()
        assert similarities is not None
        return similarities.cpu()
