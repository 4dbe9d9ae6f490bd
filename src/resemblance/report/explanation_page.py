"""Write explanations as figures and as one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.explain.explanation import Explanation
from resemblance.printing.characters import printable
from resemblance.printing.places import last_component
from resemblance.report.content import RunReport
from resemblance.report.figure_files import check_picture, save_figure
from resemblance.report.page import write_report
from resemblance.runs.folders import check_writable
from resemblance.runs.run import RunRecord

PAGES = (".html", ".htm")


def check_explanation_output(output: Path, images: int) -> None:
    """Check that explanations can be written to a folder (figures and a page), or to a file (one figure, or a page).

    Args:
        output: the folder or file.
        images: the number of images to explain.

    Raises:
        UserError: if they cannot be written there.
    """
    if _is_folder(output):
        check_writable(output)
        return
    if output.suffix not in PAGES:
        check_picture(output)
        if images > 1:
            raise UserError(f"{output}: {images} images need a folder, or a page that ends in .html")
    check_writable(output.parent)


def write_explanations(run: RunRecord, explanations: Sequence[Explanation], output: Path) -> Path:
    """Write explanations and return the path of the page or figure.

    Args:
        run: the run whose model made the explanations.
        explanations: one or more explanations.
        output: a folder for a figure of each and a page of all; or a file, which is the page if it ends in .html, else
            the figure of the only image.

    Raises:
        UserError: if they cannot be written.
    """
    check_explanation_output(output, len(explanations))
    explanations = [replace(one, name=last_component(one.name)) for one in explanations]
    kind, path = written_file(output)
    if kind == "figure":
        return save_figure(explanations[0].plot(), path)
    if kind == "figures and page":
        _write_figures(explanations, output)
    report = RunReport(run.name, run.model.name, run.model.spec.classes, explanations=list(explanations))
    return write_report(path, [report])


def written_file(output: Path) -> tuple[str, Path]:
    """Return the kind of output that `write_explanations` writes, as text, and the file to open.

    Example:
        >>> kind, path = written_file(Path("why/"))
        >>> kind, path.as_posix()
        ('figures and page', 'why/index.html')
    """
    if _is_folder(output):
        return "figures and page", output / "index.html"
    return ("page" if output.suffix in PAGES else "figure"), output


def _is_folder(output: Path) -> bool:
    return output.is_dir() or not output.suffix


def _write_figures(explanations: Sequence[Explanation], folder: Path) -> None:
    used: set[str] = set()
    for explanation in explanations:
        # The escapes of characters that would forge a listing of the folder, as a file name of any system.
        stem = name = printable(Path(explanation.name).stem).replace("\\", "_") or "image"
        number = 2
        while name in used:
            name, number = f"{stem}-{number}", number + 1
        used.add(name)
        save_figure(explanation.plot(), folder / f"{name}.png")
