"""The check "latent certificate": how far latents may move before the answer can change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Example, Finding
from resemblance.audit.integrity.certified_head import CertifiedHead, certified_head
from resemblance.drawing.histogram import histogram
from resemblance.drawing.style import png
from resemblance.metrics.suite.model_subject import no_prototypes
from resemblance.metrics.suite.result import Value, number

BRIGHTNESS = 0.05
MEANING = (
    "If no cell of the latent map, or not the embedding, moves farther than the certified radius, the answer provably "
    "stays. The radius is compared with how far latents move when the image moves by a pixel and becomes up to 5 % "
    "brighter or darker. It says nothing about pixels: a small change of pixels may move latents far."
)
NOT_PIXELS = (
    "The certificate is about the latent space alone. It says nothing about pixels: without a bound of how far the "
    "encoder moves latents, an attack on pixels may still change the answer."
)


def slightly_changed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images moved by up to a pixel and up to 5 % brighter or darker, each in its own way.

    Args:
        images: (B, C, H, W) in [0, 1]; what comes in at the edge repeats the edge.
        generator: on the CPU.

    Example:
        >>> slightly_changed(torch.zeros(2, 1, 4, 4), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1, 4, 4])
    """
    count, _, height, width = images.shape
    shift = torch.randint(0, 3, (count, 2), generator=generator).to(images.device)
    factor = 1 + BRIGHTNESS * (2 * torch.rand(count, generator=generator) - 1).to(images)
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = shift[:, 0, None] + torch.arange(height, device=images.device)
    columns = shift[:, 1, None] + torch.arange(width, device=images.device)
    first = torch.arange(count, device=images.device)[:, None, None]
    moved = padded.movedim(1, -1)[first, rows[:, :, None], columns[:, None]].movedim(-1, 1)
    return (moved * factor[:, None, None, None]).clamp(0, 1)


def no_certificate(subject: AuditSubject) -> str | None:
    """Explain why no radius can be certified, if so."""
    assert subject.explains is not None
    head = certified_head(subject.explains)
    return head if isinstance(head, str) else None


def no_images(subject: AuditSubject) -> str | None:
    """Explain that there are no images, if so."""
    return None if len(subject.images) else "there are no images"


class CertificateCheck(Check):
    """Certifies a radius in latent space for each image, and compares it with small changes of the image."""

    name = "certificate"
    title = "Latent certificate"
    needs = (no_images, no_prototypes, no_certificate)

    def __init__(self, subject: AuditSubject) -> None:
        super().__init__(subject)
        assert subject.explains is not None
        head = certified_head(subject.explains)
        assert isinstance(head, CertifiedHead)
        self.head = head

    def parts(self) -> int:
        """Return the number of batches."""
        return math.ceil(len(self.subject.images) / self.subject.settings.batch_size)

    @torch.no_grad()
    def examine(self, part: int) -> Record:
        """Return the radii of a batch, and how far two slightly changed copies of each image are apart."""
        size, model = self.subject.settings.batch_size, self.subject.model
        end = min((part + 1) * size, len(self.subject.images))
        images = self.subject.read(range(part * size, end)).images
        latents = model.latents(images)
        radii = self.head.radii(latents, model.head(latents).scores.argmax(dim=1))
        generator = torch.Generator().manual_seed(self.subject.settings.seed * 1_000_003 + part)
        first, second = (model.latents(slightly_changed(images, generator)) for _ in range(2))
        return {"radii": radii.cpu(), "moved": self.head.moved(first, second).cpu()}

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the share of images whose radius is above the median distance of two slightly changed copies."""
        radii, moved = (torch.cat([record[name] for record in records]) for name in ("radii", "moved"))
        scale, median = float(moved.median()), float(radii.median())
        share = float((radii > scale).double().mean())
        count, held = len(radii), int((radii > scale).sum())
        unit = self.head.space.unit
        says = (
            f"For {held} of {count} images the answer provably stays if latents move by {number(scale)} ({unit}), the "
            "median distance of two copies of an image, moved by up to a pixel and up to 5 % brighter or darker."
        )
        good = "1: every answer is certain within this change of the latents; 0.5 and more passes."
        finite = radii[radii.isfinite()].tolist()
        figure = histogram(
            finite, f"certified radius ({unit})", scale, "dashed: median change by a pixel and 5 % brightness"
        )
        values = (
            Value("certificate", "answers certified", share, "higher", says, good, count=count, share=True),
            Value(
                "certificate_radius",
                "median certified radius",
                median,
                "higher",
                f"Half of the images have a certified radius of at least {number(median)} ({unit}).",
                "Above the change that a pixel's shift makes.",
                baseline=scale,
                baseline_of="median change by a pixel and 5 % brightness",
                count=count,
            ),
        )
        return Finding(
            self.name,
            self.title,
            "passed" if share >= 0.5 else "information",
            says if share >= 0.5 else f"{says} For the others nothing is proved, either way.",
            MEANING,
            values,
            examples=(
                Example(
                    "Certified radii",
                    png(figure),
                    "Each image counts once, at the radius within which its answer provably stays; blue ones are "
                    "certified beyond the dashed line.",
                ),
            ),
            details=_quantiles(radii, moved),
            notes=(NOT_PIXELS, *self._more_notes(int((~radii.isfinite()).sum()))),
        )

    def _more_notes(self, endless: int) -> list[str]:
        notes = []
        if self.head.weights is not None:
            notes.append(
                "Each class is bounded as if all distances could change at once, so that the true radius may be larger."
            )
        if endless:
            notes.append(f"{endless} answers hold however far latents move; the picture leaves them out.")
        return notes


def _quantiles(radii: Tensor, moved: Tensor) -> dict[str, list[float | None]]:
    """Return the deciles of both distributions, from the smallest to the largest value."""
    positions = torch.linspace(0, 1, 11)

    def deciles(values: Tensor) -> list[float | None]:
        ordered = values.sort().values
        chosen = ordered[(positions * (len(ordered) - 1)).round().long()].tolist()
        return [value if math.isfinite(value) else None for value in chosen]

    return {"radius_deciles": deciles(radii), "moved_deciles": deciles(moved)}
