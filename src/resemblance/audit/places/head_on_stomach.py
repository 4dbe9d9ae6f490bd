"""Check whether an invisible change of other pixels moves the place where a prototype is found.

Source: Hoffmann et al. 2021, section 3 and appendix F.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from resemblance.audit.audit_check import Record
from resemblance.audit.finding import Finding
from resemblance.audit.places.moved_finding import moved_finding
from resemblance.audit.places.place_aims import (
    Aim,
    Aims,
    PairMaps,
    best_matches,
    collected,
    pair_maps,
)
from resemblance.audit.places.place_attacks import move_place
from resemblance.audit.places.place_check import PlaceCheck, on_log_scale
from resemblance.audit.places.place_examples import keep_example
from resemblance.core.output import Output
from resemblance.data.batch import Batch


class Outcome(NamedTuple):
    """What became of n changed images.

    Args:
        moved: (n,) bool, whether the prototype's best match is where it was wanted.
        kept: (n,) bool, whether the prediction stayed.
        largest: (n,) the largest similarity at the wanted cells.
        maps: the similarity maps.
    """

    moved: Tensor
    kept: Tensor
    largest: Tensor
    maps: list[PairMaps]


class HeadOnStomach(PlaceCheck):
    """Attacks the strongest prototypes of an image, one after the other, until the place of one of them has moved.

    Only pixels outside of the place may change. An image counts where a prototype's best match is then outside of the
    place, and the prediction stays.
    """

    name: ClassVar[str] = "head-on-stomach"
    title: ClassVar[str] = "Head on stomach"

    def examine(self, part: int) -> Record:
        """Attack one batch: the first prototype of all images, then the second of those that withstood, and so on."""
        batch, output, classes, ranked = self.clean(part, self.subject.settings.top)
        count = len(classes)
        record: Record = {
            "usable": torch.zeros(count, dtype=torch.int64),
            "attacks": torch.zeros(count, dtype=torch.int64),
            "blind": torch.zeros(count, dtype=torch.int64),
            "rank": torch.full((count,), -1),
            "before": torch.full((count,), torch.nan),
            "after": torch.full((count,), torch.nan),
            **{
                name: torch.zeros(count, dtype=torch.bool)
                for name in ("held", "any", "noise_held", "noise_any")
            },
            "log": torch.zeros(count, dtype=torch.bool),
            "examples": [],
        }
        for rank in range(ranked.shape[1]):
            pending = ~(record["held"] & record["noise_held"]).to(ranked.device)
            rows = ((ranked[:, rank] >= 0) & pending).nonzero().flatten()
            if len(rows):
                self._try(record, rank, rows, ranked[rows, rank], batch, output, classes)
        return record

    def _try(
        self,
        record: Record,
        rank: int,
        rows: Tensor,
        which: Tensor,
        batch: Batch,
        output: Output,
        classes: Tensor,
    ) -> None:
        """Attack one prototype of the images ``rows`` (n,), and compare with noise."""
        size, settings = self.subject.size, self.subject.settings
        with torch.no_grad():
            maps = pair_maps(self.model, output.latents, rows, which)
            aims = Aims([Aim.away(own, size, settings.variant) for own in maps], len(rows))
            usable = aims.usable(maps)
        rows, which, aims = rows[usable], which[usable], aims[usable]
        record["usable"][rows.cpu()] += 1
        left = self._left(record["noise_held"], rows)
        if len(left):
            images, indices = batch.images[rows[left]], batch.indices[rows[left]]
            noisy = self.noisy(images, indices, rank + 1, aims[left].mask(size))
            outcome = self._outcome(noisy, which[left], aims[left], classes[rows[left]])
            self._note(record, "noise_", rows[left], outcome)
        left = self._left(record["held"], rows)
        if not len(left):
            return
        rows, which, aims = rows[left], which[left], aims[left]
        images, here = batch.images[rows], rows.cpu()
        attacked = move_place(self.model, images, which, aims, self.strength, batch.indices[rows])
        outcome = self._outcome(attacked.images, which, aims, classes[rows])
        with torch.no_grad():
            maps = pair_maps(self.model, output.latents, rows, which)
        self._note(record, "", rows, outcome)
        record["attacks"][here] += 1
        record["blind"][here] += attacked.blind.cpu()
        success = (outcome.moved & outcome.kept).cpu()
        log = collected(
            maps, [torch.full_like(own.pairs, on_log_scale(own.layer)) for own in maps], len(rows)
        )
        for name, values in (
            ("rank", torch.full_like(rows, rank)),
            ("before", best_matches(maps, len(rows)).float()),
            ("after", outcome.largest.float()),
            ("log", log),
        ):
            record[name][here[success]] = values.cpu()[success].to(record[name].dtype)
        for pair in success.nonzero().flatten().tolist()[: settings.examples - len(record["examples"])]:
            keep_example(
                record, pair, images, attacked.images, which, classes[rows], maps, outcome.maps, size
            )

    def _left(self, done: Tensor, rows: Tensor) -> Tensor:
        """Return the positions of the rows (n,) that are not done yet."""
        return (~done[rows.cpu()]).nonzero().flatten().to(rows.device)

    def _outcome(self, images: Tensor, which: Tensor, aims: Aims, classes: Tensor) -> Outcome:
        """Look at changed images."""
        with torch.no_grad():
            output = self.model(images)
            rows = torch.arange(len(which), device=which.device)
            maps = pair_maps(self.model, output.latents, rows, which)
            both = list(zip(aims, maps, strict=True))
            return Outcome(
                collected(maps, [aim.reached(own.cells) for aim, own in both], len(which)),
                output.scores.argmax(dim=1) == classes,
                collected(maps, [aim.largest(own.cells) for aim, own in both], len(which)),
                maps,
            )

    def _note(self, record: Record, prefix: str, rows: Tensor, outcome: Outcome) -> None:
        record[f"{prefix}any"][rows.cpu()] |= outcome.moved.cpu()
        record[f"{prefix}held"][rows.cpu()] |= (outcome.moved & outcome.kept).cpu()

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the share of images with a prototype whose place was moved."""
        return moved_finding(self, records)
