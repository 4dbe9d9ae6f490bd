"""``resemblance explain RUN IMAGE...``: why these answers."""

from __future__ import annotations

from pathlib import Path

from resemblance.cli.console import Screen, screen
from resemblance.cli.pictures import FORMATS, check_picture, save_figure
from resemblance.config.commands import ExplainCommand
from resemblance.config.errors import UserError
from resemblance.explain.explain import explain
from resemblance.explain.explanation import Explanation
from resemblance.explain.request import explainable
from resemblance.runs.run import Run, check_writable, open_run

PAGES = (".html", ".htm")


def run(options: ExplainCommand) -> int:
    """Explain images: in words here, as figures and as one page in a folder."""
    with screen(options.json) as out:
        files = _files(options.images)
        run = open_run(options.run, options.allow_import)
        model = explainable(run.model)
        output = options.output or (run.folder or Path()) / "explanations"
        _check_output(output, len(files))
        explanations: list[Explanation] = []
        for path in files:
            try:
                explanations.append(
                    explain(
                        model,
                        path,
                        top=options.top,
                        prototypes=options.prototypes,
                        classes=options.classes,
                        label=options.label,
                    )
                )
            except UserError as error:
                if not options.skip_bad_images or not path.is_file():
                    raise
                out.warn(f"left out: {error}")
        if not explanations:
            raise UserError("none of these images can be read")
        _write(run, explanations, output, out)
        out.result([explanation.to_dict() for explanation in explanations])
    return 0


def _files(names: list[str]) -> list[Path]:
    files: list[Path] = []
    for name in names:
        path = Path(name).expanduser()
        if path.is_dir():
            found = sorted(child for child in path.iterdir() if child.is_file() and child.name[0] != ".")
            if not found:
                raise UserError(f"{name} is a folder without images")
            files += found
        elif not path.exists():
            raise UserError(f"no such image: {name}")
        else:
            files.append(path)
    return files


def _check_output(output: Path, images: int) -> None:
    """A folder takes figures and a page; a file is the figure of one image, or the page."""
    if output.is_dir() or not output.suffix:
        check_writable(output)
        return
    if output.suffix not in PAGES:
        check_picture(output)
        if images > 1:
            raise UserError(f"{output}: {images} images need a folder, or a page that ends in .html")
    check_writable(output.parent)


def _write(run: Run, explanations: list[Explanation], output: Path, out: Screen) -> None:
    from resemblance.report.content import RunReport
    from resemblance.report.page import write_report

    for explanation in explanations:
        out.say(str(explanation))
        out.say()
    is_folder = output.is_dir() or not output.suffix
    if not is_folder and output.suffix.lower() in FORMATS:
        out.say(f"figure: {save_figure(explanations[0].plot(), output)}")
        return
    if is_folder:
        _write_figures(explanations, output)
    page = write_report(
        output / "index.html" if is_folder else output,
        [RunReport(run.name, run.model.name, run.model.spec.classes, explanations=explanations)],
    )
    out.say(f"figures and page: {page}" if is_folder else f"page: {page}")


def _write_figures(explanations: list[Explanation], folder: Path) -> None:
    taken: set[str] = set()
    for explanation in explanations:
        stem = name = Path(explanation.name).stem or "image"
        number = 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        save_figure(explanation.plot(), folder / f"{name}.png")
