"""``resemblance inspect FOLDER``: describe a run folder or a model folder without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resemblance.cli.console import Screen, screen
from resemblance.config.commands import InspectCommand
from resemblance.config.image import ImageSpec
from resemblance.printing.characters import printable
from resemblance.printing.numbers import share
from resemblance.prototypes.gallery import INDEX
from resemblance.runs.inspection.claimed_figures import ClaimedFigure
from resemblance.runs.inspection.findings import named
from resemblance.runs.inspection.inspecting import Inspection, inspect
from resemblance.runs.inspection.provenance import Provenance
from resemblance.store import CONFIG, REFERENCE, TENSORS

SOMETHING_WRONG = 3  # the exit code
NOTHING_WRONG = (
    "nothing is wrong: the folder is whole and does not contradict itself, which does not prove it true"
)
WIDTH = 16  # of the column of titles
LISTED = 20  # the largest number of classes and files that are printed


def run(options: InspectCommand) -> int:
    """Describe the folder, and list what is wrong with it."""
    with screen(options.json) as out:
        inspection = inspect(options.folder)
        for title, text in _lines(inspection):
            out.say(f"{title:<{WIDTH}}{printable(text)}".rstrip())
        _say_claims(inspection.claims, out)
        _say_files(inspection, out)
        out.say()
        for finding in inspection.findings:
            out.say(f"! {printable(finding.says)}")
        count = len(inspection.findings)
        out.say(f"{count} {'thing is' if count == 1 else 'things are'} wrong" if count else NOTHING_WRONG)
        out.result(inspection.to_dict())
    return SOMETHING_WRONG if inspection.findings else 0


def _lines(inspection: Inspection) -> Iterator[tuple[str, str]]:
    """Yield the lines of the description, each with its title."""
    known = inspection.description
    by = f", written by resemblance {known.version}" if known is not None and known.version else ""
    yield "folder", f"{inspection.folder} ({'run folder' if inspection.is_run else 'model folder'}{by})"
    if known is None:
        yield "method", "not known: config.json cannot be read"
    else:
        variant = known.settings.get("variant")
        line = f": {known.line}" if known.line else ""
        yield "method", f"{known.method or 'not known'}{line}{f' (variant {variant})' if variant else ''}"
        if known.encoder:
            yield "encoder", known.encoder
        if known.needs_code:
            yield "", f"needs its author's code, {known.needs_code}, which is not imported here"
        if known.facts.get("original"):
            yield "made of", known.facts["original"]
        if known.facts.get("data"):
            yield "data", known.facts["data"]
        if known.spec is None:
            yield "classes", "not known"
        else:
            classes = known.spec.classes
            more = f", … ({len(classes) - LISTED} more)" if len(classes) > LISTED else ""
            yield "classes", f"{len(classes)}: {', '.join(classes[:LISTED])}{more}"
            yield from _image_lines(known.spec.image)
    if inspection.tensors is not None:
        tensors = inspection.tensors
        yield "weights", f"{len(tensors.shapes)} tensors with {tensors.values:,} values"
    yield "prototypes", _prototypes(inspection.provenance)
    if inspection.provenance is not None:
        for number, line in enumerate(_provenance(inspection.provenance)):
            yield "" if number else "provenance", line
    licences = [f"{entry['says']} ({entry['file']})" for entry in inspection.licences]
    yield "licence", "; ".join(licences) or "none stated"
    for number, note in enumerate(inspection.notes):
        yield "" if number else "notes", note


def _image_lines(image: ImageSpec) -> Iterator[tuple[str, str]]:
    colours = "grey" if image.channels == 1 else "RGB"
    how = {
        "squash": "each side scaled on its own",
        "crop": "aspect ratio kept, the middle cut out",
        "pad": "aspect ratio kept, padded",
    }[image.resize]
    seen = f", {share(image.crop_share)} of the scaled side" if image.crop_share < 1 else ""
    yield "input", f"{image.height}×{image.width}, {colours}; {how}{seen} ({image.interpolation})"
    yield (
        "normalisation",
        f"mean {_numbers(image.mean)}, standard deviation {_numbers(image.std)}, of pixels in [0, 1]",
    )


def _prototypes(provenance: Provenance | None) -> str:
    if provenance is None:
        return "none"
    unused = (
        "" if provenance.unused is None else f", {provenance.unused} of them unused on the training images"
    )
    return f"{provenance.prototypes}{unused}"


def _provenance(provenance: Provenance) -> list[str]:
    """Say where the prototypes come from, in lines."""
    parts = [
        f"{provenance.pictures} with a picture",
        f"{provenance.named} with the name of their source image",
        f"{provenance.boxes} with a box in it",
    ]
    if provenance.decoded:
        parts.insert(1, f"{provenance.decoded} decoded")
    if provenance.source_image is not None:
        parts.append(f"{provenance.source_image} with a source image in the weights")
    if provenance.other_class:
        parts.append(f"{provenance.other_class} with a source image from the folder of another class")
    files = f"{provenance.matching_files} of {provenance.picture_files} pictures match their checksum"
    tied = "pictures and weights belong together, by their checksums"
    untied = "it is not certain that pictures and weights belong together"
    return [", ".join(parts), files, tied if provenance.tied else untied]


def _say_claims(claims: Sequence[ClaimedFigure], out: Screen) -> None:
    out.say()
    if not claims:
        out.say("no figures are claimed")
        return
    files: dict[tuple[str, str, float, int | None], list[str]] = {}
    for claim in claims:
        files.setdefault((claim.figure, claim.split, claim.value, claim.images), []).append(claim.file)
    rows = [
        (figure, split, share(value) if split else f"{value:g}", images, ", ".join(where))
        for (figure, split, value, images), where in files.items()
    ]
    out.table(("claimed figure", "split", "value", "images", "file"), rows)


def _say_files(inspection: Inspection, out: Screen) -> None:
    """Print each file other than pictures that match their checksums, and the number of these."""
    out.say()
    files = inspection.files
    always = (CONFIG, TENSORS, REFERENCE, INDEX)
    shown = [file for file in files if file.state != "matches" or file.name in always]
    rows = [(file.name, file.bytes, file.state, (file.sha256 or "")[:16]) for file in shown[:LISTED]]
    if rows:
        out.table(("file of the model", "bytes", "checksum", "sha256 begins"), rows)
    if len(shown) < len(files):
        out.say(f"and {len(files) - len(shown)} pictures, which match their checksums (--json lists all)")
    if len(shown) > LISTED:
        out.say(f"… and {len(shown) - LISTED} more that do not match (--json lists all)")
    if inspection.other_files:
        out.say(f"other files: {printable(named(list(inspection.other_files)))}")


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
