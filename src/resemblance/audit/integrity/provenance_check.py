"""The check "provenance": is each prototype the training image, the place and the picture that the folder says?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from resemblance.audit.attack_rates import percent
from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Example, Finding
from resemblance.audit.integrity.embedded_sources import (
    EXACT,
    compare_boxes,
    distance_errors,
    rounding_limit,
    vector_errors,
)
from resemblance.audit.integrity.nearest_sources import others_are_nearer, smallest_values
from resemblance.audit.integrity.provenance_examples import shows, source_examples
from resemblance.audit.integrity.provenance_texts import (
    CURE,
    MEANING,
    OTHER,
    OTHER_IMAGES,
    REASONS,
    notes_on,
    plural_of,
    reasons_of,
)
from resemblance.audit.integrity.stored_gallery import (
    images_shown,
    item_of,
    pictured,
    wrong_decodings,
    wrong_items,
)
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.images import Pixels
from resemblance.data.inputs import pixels
from resemblance.data.sources.source import Source
from resemblance.methods.ensemble.prototypes import JointPrototypes
from resemblance.metrics.suite.model_subject import no_prototypes, no_training_images
from resemblance.metrics.suite.result import Value
from resemblance.prototypes.vectors import VectorPrototypes

NAMED = 20  # prototypes named in the details
FOUND = 0.5  # of the sources, from which the images are taken to be the training images


def no_sources(subject: AuditSubject) -> str | None:
    """Explain that no prototype has a source image, if so."""
    assert subject.explains is not None
    gallery = subject.explains.gallery or ()
    if bool((subject.prototypes.source_index >= 0).any()) or any(item.source is not None for item in gallery):
        return None
    return f"no {subject.model.traits.words.one} of this {subject.model.name} has a source image"


def is_ensemble(subject: AuditSubject) -> str | None:
    """Explain that the sources of an ensemble's members are checked one by one, if the model is one."""
    if isinstance(subject.prototypes, JointPrototypes):
        return "the prototypes of an ensemble are those of its members; audit these one by one"
    return None


class ProvenanceCheck(Check):
    """Embeds the source images again, and compares vectors, places, classes, pictures and names."""

    name = "provenance"
    title = "Provenance"
    needs = (no_prototypes, is_ensemble, no_training_images, no_sources)

    def __init__(self, subject: AuditSubject) -> None:
        super().__init__(subject)
        assert subject.explains is not None
        assert subject.train is not None
        self.model: PrototypeModel = subject.explains
        self.train: Source = subject.train
        index = subject.prototypes.source_index.cpu()
        self.valid = (index >= 0) & (index < len(self.train))
        self.sources = torch.unique(index[self.valid])
        self.decodes = self.model.traits.decodes and self.model.gallery is not None

    def parts(self) -> int:
        """Return one part per batch of source images, one for decoded pictures, and one per batch of other images.

        All training images are read only where a prototype shows the nearest of them.
        """
        rest = (
            0 if self.model.traits.projects else math.ceil(len(self.train) / self.subject.settings.batch_size)
        )
        return len(self._batches()) + self.decodes + rest

    def _batches(self) -> tuple[Tensor, ...]:
        size = self.subject.settings.batch_size
        return torch.split(self.sources, size) if len(self.sources) else ()

    @torch.no_grad()
    def examine(self, part: int) -> Record:
        """Compare the prototypes of a batch of source images, all decoded pictures, or a batch of other images."""
        batches = self._batches()
        if part >= len(batches) + self.decodes:
            return self._others(part - len(batches) - self.decodes)
        if part >= len(batches):
            decodings = wrong_decodings(self.model)
            return {"which": torch.arange(len(decodings)), "wrong": {"decoding": decodings}}
        positions = batches[part]
        batch = self.subject.read(positions, self.train)
        latents = self.model.latents(batch.images)
        latents = latents.float() if isinstance(latents, Tensor) else latents
        index = self.subject.prototypes.source_index.cpu()
        pairs = (positions[:, None] == index).nonzero()
        rows, which = (column.to(self.model.device) for column in pairs.T)
        errors, limits = self._errors(latents, rows, which)
        wrong = wrong_items(self.model, self.train, list(pixels(batch.images)), pairs)
        agree, boxes = compare_boxes(self.model, latents, rows, which)
        wrong["box"] |= ~agree.cpu()
        wrong["vector"] = errors > limits
        wrong["class"] = ~self._allowed(batch.labels, rows, which).cpu()
        return {"which": which.cpu(), "errors": errors, "boxes": boxes.cpu(), "wrong": wrong}

    def _errors(self, latents: Tensor, rows: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return relative errors (n,) and their limits (n,); prototypes without vectors have no error."""
        layer = self.subject.prototypes
        if not isinstance(layer, VectorPrototypes):
            return torch.zeros(len(which)), torch.zeros(len(which))
        measure = vector_errors if self.model.traits.projects else distance_errors
        errors = measure(layer, latents, rows, which).cpu()
        return errors, self._limits[which.cpu()]

    @cached_property
    def _limits(self) -> Tensor:
        layer = self.subject.prototypes
        assert isinstance(layer, VectorPrototypes)
        return rounding_limit(layer).clamp_min(EXACT)

    def _allowed(self, labels: Tensor, rows: Tensor, which: Tensor) -> Tensor:
        """Return whether a prototype may come from its source image, (n,) bool."""
        owners = self.subject.prototypes.owners
        free = ~owners.any(dim=1) | (not self.model.traits.projects and self.model.traits.sources == "all")
        return owners[which, labels[rows]] | free[which]

    def _others(self, number: int) -> Record:
        """Look for nearer images in a batch of the training images."""
        size = self.subject.settings.batch_size
        positions = range(number * size, min((number + 1) * size, len(self.train)))
        return {"values": smallest_values(self.model, self.subject.read(positions, self.train))}

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the share of prototypes that are not what the folder says, and name them."""
        words, count = self.model.traits.words, len(self.subject.prototypes)
        wrong = {reason: torch.zeros(count, dtype=torch.bool) for reason in REASONS}
        for record in records:
            for reason, flags in record.get("wrong", {}).items():
                wrong[reason][record["which"]] |= flags
        if others := [record["values"] for record in records if "values" in record]:
            wrong["nearest"] = others_are_nearer(others) & self.valid
        unknown = self.subject.prototypes.source_index.cpu() < 0
        wrong["index"] = (~self.valid & ~unknown) | (unknown & pictured(self.model))
        if not self.subject.recorded and (found := self._found(wrong)) is not None and found < FOUND:
            return self._other_images(found, wrong, records)
        checked = self.valid | wrong["index"] | wrong["decoding"]
        failed = torch.stack(list(wrong.values())).any(dim=0)
        share, total = float(failed.sum()) / max(int(checked.sum()), 1), int(checked.sum())
        says = f"{int(failed.sum())} of {total} {words.many} are not what the folder says."
        rounded = int(
            sum(((r["errors"] > EXACT) & ~r["wrong"]["vector"]).sum() for r in records if "errors" in r)
        )
        if not bool(failed.any()):
            says = f"All {total} {words.many} are the images, places and pictures that the folder says."
        values = [
            Value(
                self.name,
                "wrong provenance",
                share,
                "lower",
                says,
                "0.",
                count=total,
                of=words.many,
                share=True,
            )
        ]
        for reason, flags in wrong.items():
            number = int(flags.sum())
            sentence = f"{number} {words.many}: {plural_of(reason)}."
            values.append(
                Value(
                    f"provenance_{reason}",
                    f"wrong {reason}",
                    number,
                    "lower",
                    sentence,
                    "0.",
                    count=total,
                    of=words.many,
                )
            )
        return Finding(
            self.name,
            self.title,
            "failed" if bool(failed.any()) else "doubtful" if rounded else "passed",
            says,
            MEANING,
            tuple(values),
            CURE if bool(failed.any()) else "",
            self._examples(failed if bool(failed.any()) else self.valid, wrong, records),
            {
                "failed": [
                    self._named(k, reasons_of(wrong, k)) for k in failed.nonzero().flatten().tolist()[:NAMED]
                ]
            },
            notes_on(self.model, int(unknown.sum()), rounded),
        )

    def _found(self, wrong: dict[str, Tensor]) -> float | None:
        """Return the share of sources of which a trace is among these images; None if none could be recognised.

        A trace is the vector of the source where the folder says, or its picture anywhere among the sources. Where only
        pictures were exchanged, the vectors are still there; where only vectors were changed, the pictures.
        """
        sources = (self.subject.prototypes.source_index.cpu() >= 0).nonzero().flatten().tolist()
        vectors = isinstance(self.subject.prototypes, VectorPrototypes)
        if not sources or (self.model.gallery is None and not vectors):
            return None
        found = self.valid & ~wrong["vector"] if vectors else torch.zeros_like(self.valid)
        found[list(self._shown([k for k in sources if not found[k]]))] = True
        return float(found[sources].double().mean())

    def _shown(self, which: Sequence[int]) -> dict[int, int]:
        """Return the training image that the stored picture of a prototype shows, if it is the source of any."""
        items = {k: item_of(self.model, k) for k in which}
        pictures = {
            k: item.source for k, item in items.items() if item is not None and item.source is not None
        }
        batches: Iterator[Sequence[Pixels]] = (
            list(pixels(self.subject.read(positions, self.train).images)) for positions in self._batches()
        )
        shown = zip(pictures, images_shown(list(pictures.values()), batches), strict=True)
        return {k: int(self.sources[number]) for k, number in shown if number >= 0}

    def _other_images(self, found: float, wrong: dict[str, Tensor], records: Sequence[Record]) -> Finding:
        """Return the finding about images that the model was not trained on: nothing can be compared with them."""
        words = self.model.traits.words
        says = (
            f"These are not the training images: {percent(found) if found else 'none'} of the {words.many} "
            f"{'have' if found else 'has'} a source image among them, so that nothing can be compared."
        )
        value = Value(
            self.name, "wrong provenance", math.nan, "lower", says, "0.", count=0, of=words.many, share=True
        )
        return Finding(
            self.name,
            self.title,
            "information",
            says,
            MEANING,
            (value,),
            OTHER_IMAGES,
            self._examples(self.valid, {OTHER: self.valid}, records),
            notes=notes_on(self.model),
        )

    def _named(self, k: int, reasons: list[str]) -> dict[str, object]:
        item = item_of(self.model, k)
        return {
            self.model.traits.words.one: k,
            "image": "" if item is None else item.name,
            "reasons": reasons,
        }

    def _examples(
        self, chosen: Tensor, wrong: dict[str, Tensor], records: Sequence[Record]
    ) -> tuple[Example, ...]:
        """Return one picture of the first prototypes among those chosen, (P,) bool."""
        boxes = torch.zeros_like(self.subject.prototypes.source_box, device="cpu")
        for record in records:
            if "boxes" in record:
                boxes[record["which"]] = record["boxes"]
        first = chosen.nonzero().flatten()[: self.subject.settings.examples].tolist()
        reasons = {k: reasons_of(wrong, k) for k in first}
        if "picture" in wrong:
            for k, index in self._shown([k for k in first if wrong["picture"][k]]).items():
                reasons[k].append(shows(self.subject, index))
        return source_examples(self.subject, reasons, boxes)
