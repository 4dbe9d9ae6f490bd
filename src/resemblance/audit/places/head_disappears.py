"""Check whether an invisible change of its own place hides a prototype.

Source: the released code of Hoffmann et al. 2021 ("head disappears"); the paper does not report it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from resemblance.audit.attack_check import blind_notes
from resemblance.audit.attack_rates import FAILED, PASSED, joined, percent, rate, sentence_of, verdict_of
from resemblance.audit.audit_check import Record
from resemblance.audit.finding import Finding
from resemblance.audit.places.cell_regions import box_pixels
from resemblance.audit.places.place_aims import PairMaps, best_matches, pair_maps, shown_boxes
from resemblance.audit.places.place_attacks import NOISE, hide_place
from resemblance.audit.places.place_check import PlaceCheck
from resemblance.audit.places.place_examples import keep_example, place_examples
from resemblance.audit.places.strongest_prototypes import similarity_rank
from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.suite.result import Value


class HeadDisappears(PlaceCheck):
    """Attacks the strongest prototype of an image within the box that marks its place.

    It has disappeared where it was among the ``top`` most similar of all prototypes before, and is not any more.
    """

    name: ClassVar[str] = "head-disappears"
    title: ClassVar[str] = "Head disappears"

    @property
    def top(self) -> int:
        """The rank by similarity up to which a prototype counts as found; one at least must be beyond it."""
        return max(min(self.subject.settings.top, len(self.model.prototypes) - 1), 1)

    def examine(self, part: int) -> Record:
        """Attack one batch."""
        batch, output, classes, ranked = self.clean(part, 1)
        rank = similarity_rank(output.similarities, ranked[:, 0].clamp_min(0))
        usable = (ranked[:, 0] >= 0) & (rank < self.top)
        rows = usable.nonzero().flatten()
        none = torch.zeros(0)
        record: Record = {"usable": usable.cpu(), "examples": [], "blind": none.bool()}
        for name in ("", "noise_"):
            record |= {f"{name}any": none.bool(), f"{name}held": none.bool(), f"{name}fall": none.double()}
        if not len(rows):
            return record
        which, images, indices = ranked[rows, 0], batch.images[rows], batch.indices[rows]
        with torch.no_grad():
            maps = pair_maps(self.model, output.latents, rows, which)
        mask = self._boxes(maps, len(rows), images)
        attacked = hide_place(self.model, images, which, mask, self.strength, indices)
        noisy = self.noisy(images, indices, 1, mask)
        best = best_matches(maps, len(rows))
        record["blind"] = attacked.blind.cpu()
        for name, changed in (("", attacked.images), ("noise_", noisy)):
            with torch.no_grad():
                after = self.model(changed)
                places = torch.arange(len(rows), device=rows.device)
                found = pair_maps(self.model, after.latents, places, which)
            gone = similarity_rank(after.similarities, which) >= self.top
            kept = after.scores.argmax(dim=1) == classes[rows]
            now = best_matches(found, len(rows))
            record[f"{name}any"], record[f"{name}held"] = gone.cpu(), (gone & kept).cpu()
            record[f"{name}fall"] = relative_fall(best.cpu(), now.cpu())
            if not name:
                success = (gone & kept).cpu()
                for pair in success.nonzero().flatten().tolist()[: self.subject.settings.examples]:
                    keep_example(
                        record, pair, images, changed, which, classes[rows], maps, found, self.subject.size
                    )
        return record

    def _boxes(self, maps: Sequence[PairMaps], count: int, images: Tensor) -> Tensor:
        """Return the pixels of the boxes that mark the places, (n, 1, H, W) bool."""
        size = self.subject.size
        mask = torch.zeros(count, 1, *size, dtype=torch.bool, device=images.device)
        for own in maps:
            mask[own.pairs] = box_pixels(shown_boxes(own, size), size)
        return mask

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the share of images whose strongest prototype was hidden."""
        words, usable = self.model.traits.words, joined(records, "usable")
        left_out = {f"images without a {words.one} to hide": int((~usable.bool()).sum())}
        good = f"Near 0, and near the rate of {NOISE}."
        main = rate(
            "head_disappears",
            f"images with a hidden {words.one}",
            joined(records, "held"),
            f"In {{hits}} of {{count}} images the strongest {words.one} is no longer among the {self.top} most "
            "similar, and the prediction stays.",
            good,
            baseline=joined(records, "noise_held"),
            baseline_of=NOISE,
            left_out=left_out,
        )
        values = (
            main,
            rate(
                "head_disappears_any",
                "the same, whatever the prediction",
                joined(records, "any"),
                f"In {{hits}} of {{count}} images it is no longer among the {self.top} most similar, if the prediction "
                "may change.",
                good,
                baseline=joined(records, "noise_any"),
                baseline_of=NOISE,
                left_out=left_out,
            ),
            self._fall(records),
        )
        verdict = verdict_of(main.value)
        return Finding(
            self.name,
            self.title,
            verdict,
            sentence_of(
                main,
                f"Changes of at most {self.grey_levels} inside of its own place hide the strongest {words.one} of "
                f"{percent(main.value)} of the images, while the prediction stays; noise does so for "
                f"{percent(main.baseline)}.",
            ),
            f"An attack changes the pixels of the place where a {words.one} was found, too little to be seen, until it "
            f"is found nowhere. Where it succeeds, a {words.one} that is not found need not be missing in the image.",
            values,
            cure=""
            if verdict in ("passed", "information")
            else "Train with adversarial examples; see Remedies.",
            examples=place_examples(
                self.model,
                records,
                self.subject.settings.examples,
                "{prototype} disappears",
                f"Only pixels inside of the yellow box were changed, and the {words.one} is no longer among the "
                f"{self.top} most similar. Both maps have the same colour scale.",
                outcome=f", below the {self.top} largest",
            ),
            details={"images": len(joined(records, "held")), "limits": {"passed": PASSED, "failed": FAILED}},
            notes=tuple(blind_notes(records)),
        )

    def _fall(self, records: Sequence[Record]) -> Value:
        """Return by how much the largest similarity falls, relative to what it was."""
        fall, noise = joined(records, "fall").double(), joined(records, "noise_fall").double()
        undefined = int(fall.isnan().sum())
        mean = float(fall.nanmean()) if undefined < len(fall) else float("nan")
        interval = mean_interval(fall)
        return Value(
            "head_disappears_fall",
            "fall of the similarity",
            mean,
            "lower",
            f"The largest similarity on the map falls by {percent(mean)} on average.",
            "Near 0.",
            baseline=float(noise.nanmean()) if undefined < len(noise) else None,
            baseline_of=NOISE,
            interval=None if interval.low != interval.low else (interval.low, interval.high),
            count=len(fall) - undefined,
            left_out={"images whose similarity is not positive": undefined},
        )


def relative_fall(before: Tensor, after: Tensor) -> Tensor:
    """Return by which share similarities (n,) fell, (n,) float64; NaN where they were not positive.

    Similarities below 0 count as 0.

    Example:
        >>> relative_fall(torch.tensor([4.0, -1.0, 2.0]), torch.tensor([1.0, -2.0, -1.0]))
        tensor([0.7500,    nan, 1.0000], dtype=torch.float64)
    """
    first, second = before.double().clamp_min(0), after.double().clamp_min(0)
    return (1 - second / first).masked_fill(first == 0, torch.nan)
