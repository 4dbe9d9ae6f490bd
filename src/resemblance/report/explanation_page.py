"""Write explanations as tables, figures and one page, while they are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

from resemblance.config.commands import FEW, FIGURES
from resemblance.config.errors import UserError
from resemblance.explain.explanation import Explanation
from resemblance.explain.many.explanation_table import ExplanationFiles, explanation_files
from resemblance.explain.many.tally import GROUPS
from resemblance.printing.characters import printable
from resemblance.printing.places import last_component
from resemblance.report.content import RunReport
from resemblance.report.figure_drawing import draw_figures
from resemblance.report.figure_files import check_picture, save_figure
from resemblance.report.page import write_report
from resemblance.runs.folders import check_writable, make_folder
from resemblance.runs.run import RunRecord

PAGES = (".html", ".htm")
ON_THE_PAGE = 50  # images of a page; the tables have all


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


class ExplanationWriter:
    """Writes explanations; see `writing_explanations`.

    Attributes:
        left_out: how many explanations the page leaves out.
    """

    def __init__(self, run: RunRecord, output: Path, images: int, figures: str) -> None:
        self.run, self.output = run, output
        self.figures = ("all" if images <= FEW else "none") if figures == "auto" else figures
        self.files: ExplanationFiles | None = None
        self.left_out = 0
        self._groups: dict[bool, list[tuple[int, Explanation]]] = {True: [], False: []}
        self._drawn: list[Explanation] = []
        self._count = 0

    def add(self, explanation: Explanation) -> None:
        """Write one explanation to the tables, and keep it if it belongs on the page or is drawn.

        What is written may be handed on, and says nothing of this machine: an absolute path loses its folders.
        """
        explanation = replace(explanation, name=last_component(explanation.name))
        if self.files is not None:
            self.files.add(explanation)
        wrong = GROUPS["wrong"](explanation)
        if self.figures == "all" or (self.figures == "wrong" and wrong):
            self._drawn.append(explanation)
        kept = self._groups[wrong]
        if len(kept) < ON_THE_PAGE:
            kept.append((self._count, explanation))
        else:
            self.left_out += 1
        self._count += 1

    def finish(self, progress: bool = False) -> Path:
        """Draw figures, write the page, and return the path of the page or the figure.

        Args:
            progress: whether to show a progress bar.
        """
        kind, path = written_file(self.output)
        page = self._page()
        if kind == "figure":
            return save_figure(page[0].plot(), path)
        if _is_folder(self.output) and self._drawn:
            draw_figures(
                list(zip(self._drawn, _figure_paths(self._drawn, self.output), strict=True)), progress
            )
        report = RunReport(self.run.name, self.run.model.name, self.run.model.classes, explanations=page)
        return write_report(path, [report])

    def _page(self) -> list[Explanation]:
        """Return the explanations of the page: all, if they are few; else wrong ones first, at most half of them."""
        wrong, others = self._groups[True], self._groups[False]
        if len(wrong) + len(others) <= ON_THE_PAGE:
            return [explanation for _, explanation in sorted([*wrong, *others], key=itemgetter(0))]
        half = max(ON_THE_PAGE - len(others), ON_THE_PAGE // 2)
        chosen = [*wrong[:half], *others[: ON_THE_PAGE - len(wrong[:half])]]
        self.left_out += len(wrong) + len(others) - len(chosen)
        return [explanation for _, explanation in chosen]


@contextmanager
def writing_explanations(
    run: RunRecord, output: Path, images: int, figures: str = "auto"
) -> Iterator[ExplanationWriter]:
    """Write explanations while they are made: in a folder ``explanations.csv`` and ``.jsonl``, figures and a page.

    The tables grow with each explanation that is added, so that an interruption loses nothing.

    Args:
        run: the run whose model makes the explanations.
        output: a folder; or a file, which is the page if it ends in .html, else the figure of the only image.
        images: the number of images to explain.
        figures: which explanations have a figure of their own in the folder: all, wrong, none, or auto: all if there
            are at most 10.

    Raises:
        UserError: if they cannot be written, or there is no such choice of figures.
    """
    if figures not in FIGURES:
        raise UserError(f"there is no choice of figures {figures!r}; choose from {', '.join(FIGURES)}")
    check_explanation_output(output, images)
    writer = ExplanationWriter(run, output, images, figures)
    if not _is_folder(output):
        yield writer
        return
    with explanation_files(make_folder(output)) as writer.files:
        yield writer


def written_file(output: Path) -> tuple[str, Path]:
    """Return the kind of output that is written, as text, and the file to open.

    Example:
        >>> kind, path = written_file(Path("why/"))
        >>> kind, path.as_posix()
        ('tables, figures and page', 'why/index.html')
    """
    if _is_folder(output):
        return "tables, figures and page", output / "index.html"
    return ("page" if output.suffix in PAGES else "figure"), output


def _is_folder(output: Path) -> bool:
    return output.is_dir() or not output.suffix


def _figure_paths(explanations: list[Explanation], folder: Path) -> list[Path]:
    """Return a path for each figure, with numbers where names are equal."""
    used: set[str] = set()
    paths = []
    for explanation in explanations:
        # The escapes of characters that would forge a listing of the folder, as a file name of any system.
        stem = name = printable(Path(explanation.name).stem).replace("\\", "_") or "image"
        number = 2
        while name in used:
            name, number = f"{stem}-{number}", number + 1
        used.add(name)
        paths.append(folder / f"{name}.png")
    return paths
