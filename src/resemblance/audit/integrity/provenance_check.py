"""The check "provenance": is each prototype the training image, the place and the picture that the folder says?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import AuditSubject, no_prototypes, no_training_images
from resemblance.audit.finding import Example, Finding
from resemblance.audit.integrity.embedded_sources import (
    EXACT,
    boxes_agree,
    distance_errors,
    rounding_limit,
    vector_errors,
)
from resemblance.audit.integrity.provenance_texts import CURE, MEANING, REASONS, reason_of
from resemblance.audit.integrity.source_pictures import Shown, same_picture, source_figure
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.inputs import as_picture, pixels
from resemblance.data.sources.source import Source
from resemblance.drawing.style import png
from resemblance.methods.ensemble.prototypes import JointPrototypes
from resemblance.metrics.suite.result import Value
from resemblance.printing.characters import printable
from resemblance.prototypes.gallery import GalleryItem
from resemblance.prototypes.vectors import VectorPrototypes
from resemblance.training.ends.gallery import decode

NAMED = 20  # prototypes named in the details


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
        """Return the number of batches of source images, with one part for decoded pictures."""
        return len(self._batches()) + self.decodes

    def _batches(self) -> tuple[Tensor, ...]:
        size = self.subject.settings.batch_size
        return torch.split(self.sources, size) if len(self.sources) else ()

    @torch.no_grad()
    def examine(self, part: int) -> Record:
        """Compare the prototypes of a batch of source images, or all decoded pictures."""
        batches = self._batches()
        if part == len(batches):
            return self._decoded()
        positions = batches[part]
        batch = self.subject.read(positions, self.train)
        latents = self.model.latents(batch.images)
        latents = latents.float() if isinstance(latents, Tensor) else latents
        index = self.subject.prototypes.source_index.cpu()
        pairs = (positions[:, None] == index).nonzero()
        rows, which = (column.to(self.model.device) for column in pairs.T)
        errors, limits = self._errors(latents, rows, which)
        shown = [as_picture(image) for image in batch.images.cpu()]
        stored = self._compare_pictures(shown, pairs)
        boxes = boxes_agree(self.model, latents, rows, which).cpu() & stored.pop("gallery box")
        wrong = {
            "vector": errors > limits,
            "box": ~boxes,
            "class": ~self._allowed(batch.labels, rows, which).cpu(),
            **stored,
        }
        return {"which": which.cpu(), "errors": errors, "wrong": wrong}

    def _errors(self, latents: Tensor, rows: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return relative errors (n,) and their limits (n,); prototypes without vectors have no error."""
        layer = self.subject.prototypes
        if not isinstance(layer, VectorPrototypes):
            return torch.zeros(len(which)), torch.zeros(len(which))
        measure = vector_errors if self.model.traits.projects else distance_errors
        errors = measure(layer, latents, rows, which).cpu()
        return errors, rounding_limit(layer).cpu()[which.cpu()].clamp_min(EXACT)

    def _allowed(self, labels: Tensor, rows: Tensor, which: Tensor) -> Tensor:
        """Return whether a prototype may come from its source image, (n,) bool."""
        owners = self.subject.prototypes.owners
        free = ~owners.any(dim=1) | (not self.model.traits.projects and self.model.traits.sources == "all")
        return owners[which, labels[rows]] | free[which]

    def _compare_pictures(self, shown: Sequence[np.ndarray], pairs: Tensor) -> dict[str, Tensor]:
        """Compare the gallery's pictures, names and boxes with the images, for pairs (row, prototype)."""
        count = len(pairs)
        wrong = {name: torch.zeros(count, dtype=torch.bool) for name in ("picture", "name")}
        box = torch.ones(count, dtype=torch.bool)
        index = self.subject.prototypes.source_index
        for number, (row, k) in enumerate(pairs.tolist()):
            item = self._item(k)
            if item is None:
                continue
            wrong["picture"][number] = item.source is None or not self._same(item, shown[row])
            wrong["name"][number] = item.name != printable(self.train.name(int(index[k])))
            box[number] = (item.box or self._whole) == tuple(self.subject.prototypes.source_box[k].tolist())
        return {**wrong, "gallery box": box}

    def _same(self, item: GalleryItem, image: np.ndarray) -> bool:
        assert item.source is not None
        grey = image[:, :, :1] if self.model.spec.image.channels == 1 else image
        return same_picture(item.source, grey)

    @property
    def _whole(self) -> tuple[int, int, int, int]:
        return 0, 0, self.model.spec.image.width, self.model.spec.image.height

    def _item(self, k: int) -> GalleryItem | None:
        return None if self.model.gallery is None else self.model.gallery[k]

    def _decoded(self) -> Record:
        """Decode all prototypes, and compare the pictures with those stored."""
        now = decode(self.model, self.subject.prototypes)
        wrong = torch.zeros(len(now), dtype=torch.bool)
        for k, fresh in enumerate(now):
            item = self._item(k)
            wrong[k] = (
                item is None or item.decoding is None or not same_picture(item.decoding, fresh.pixels())
            )
        return {"which": torch.arange(len(now)), "wrong": {"decoding": wrong}}

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the share of prototypes that are not what the folder says, and name them."""
        words, count = self.model.traits.words, len(self.subject.prototypes)
        wrong = {reason: torch.zeros(count, dtype=torch.bool) for reason in REASONS}
        for record in records:
            for reason, values in record["wrong"].items():
                wrong[reason][record["which"]] |= values
        unknown = self.subject.prototypes.source_index.cpu() < 0
        pictured = torch.tensor(
            [(item := self._item(k)) is not None and item.source is not None for k in range(count)]
        )
        wrong["index"] = (~self.valid & ~unknown) | (unknown & pictured)
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
            sentence = f"{number} {words.many}: {reason_of(reason)}."
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
            self._examples(wrong, failed),
            {"failed": [self._named(int(k), wrong) for k in failed.nonzero().flatten()[:NAMED]]},
            tuple(self._notes(int(unknown.sum()), rounded)),
        )

    def _named(self, k: int, wrong: dict[str, Tensor]) -> dict[str, object]:
        reasons = [REASONS[reason] for reason, flags in wrong.items() if bool(flags[k])]
        item = self._item(k)
        return {
            self.model.traits.words.one: k,
            "image": "" if item is None else item.name,
            "reasons": reasons,
        }

    def _examples(self, wrong: dict[str, Tensor], failed: Tensor) -> tuple[Example, ...]:
        """Return one picture with a row per prototype: those that failed, else the first ones."""
        chosen = (failed if bool(failed.any()) else self.valid).nonzero().flatten()
        rows = [self._row(int(k), wrong) for k in chosen[: self.subject.settings.examples]]
        if not rows:
            return ()
        title = "Stored pictures beside the training images"
        caption = "The place of a part is framed in yellow; a red frame marks what is wrong."
        return (Example(title, png(source_figure(rows)), caption),)

    def _row(self, k: int, wrong: dict[str, Tensor]) -> Shown:
        item, layer = self._item(k), self.subject.prototypes
        reasons = [REASONS[reason] for reason, flags in wrong.items() if bool(flags[k])]
        classes = ", ".join(layer.owner_names(self.model.spec.classes)[k][:3]) or "no class"
        true = None
        if bool(self.valid[k]):
            true = pixels(
                self.subject.read([int(layer.source_index[k])], self.train).images[0].expand(3, -1, -1)
            )
        box = None if item is None else item.box
        label = "\n".join(
            [f"{self.model.traits.words.one} {k} ({classes})", *(reasons or ["as it should be"])]
        )
        return Shown(label, None if item is None else item.image, box, true, bool(reasons))

    def _notes(self, unknown: int, rounded: int) -> list[str]:
        words, notes = self.model.traits.words, []
        if self.model.gallery is None:
            notes.append("The folder has no pictures, so that pictures and names were not compared.")
        if not self.model.traits.projects:
            notes.append(
                f"The {words.many} of {self.model.name} are not images themselves: the image shown is the nearest or "
                "strongest one. That no other image is nearer was not checked."
            )
        elif self.model.traits.boxes_before_push:
            notes.append(
                "Boxes were cut from the maps before projection, which no longer exist: they were not checked."
            )
        if not isinstance(self.subject.prototypes, VectorPrototypes):
            notes.append(f"The {words.many} of {self.model.name} have no vectors to compare.")
        if unknown:
            notes.append(f"{unknown} {words.many} have no source image.")
        if rounded:
            notes.append(
                f"The vectors of {rounded} {words.many} differ from their source images by as much as arithmetic of 16 "
                "bits or of a GPU leaves."
            )
        return notes
