"""The options of each command; flat, typed, torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from resemblance.config.groups import JsonOption, RunOptions, SourceOptions
from resemblance.config.method import MethodConfig
from resemblance.config.options import option
from resemblance.config.runs import IMPORT, ConvertOptions, TrainOptions

SPLITS = ("auto", "train", "val", "test")


@dataclass
class DemoCommand(JsonOption):
    """Everything once, on the embedded digits."""

    group: ClassVar[str] = "output"
    line: ClassVar[str] = "train, convert and explain on the embedded digits, in two minutes"

    output: Path = option(Path("resemblance-demo"), "folder for runs and report", metavar="DIR")
    seed: int = option(0, "all random choices follow from it", least=0)


@dataclass
class MethodsCommand(JsonOption):
    """The methods there are."""

    line: ClassVar[str] = "list the methods"


@dataclass
class TrainCommand(TrainOptions, JsonOption):
    """Train a method; the method's own options come from its configuration."""

    line: ClassVar[str] = "train a model"

    name: str = ""
    method: MethodConfig = field(default_factory=MethodConfig)


@dataclass
class ConvertCommand(ConvertOptions, JsonOption):
    """Make a self-explaining model of a trained classifier, by KMEx."""

    line: ClassVar[str] = "turn a trained classifier into a self-explaining one (KMEx)"


@dataclass
class ExplainCommand(RunOptions):
    """Explain images."""

    group: ClassVar[str] = "explanation"
    line: ClassVar[str] = "explain a model's answers to images"

    images: list[str] = option(list, "image files", positional=True, many=True, metavar="IMAGE")
    top: int = option(5, "how many reasons to show", least=1)
    prototypes: tuple[int, ...] | None = option(None, "show these prototypes instead, of whatever class")
    classes: tuple[str, ...] | None = option(
        None, "explain the scores of these classes, not of the predicted one"
    )
    label: str | None = option(None, "the images' true class", metavar="CLASS")
    skip_bad_images: bool = option(False, "leave out unreadable images, naming them, instead of stopping")
    output: Path | None = option(
        None,
        "folder for a page and figures, or a picture or .html file (default: explanations/ in the run folder)",
        metavar="PATH",
        title="output",
    )


@dataclass
class PrototypesCommand(RunOptions):
    """Show the prototypes."""

    line: ClassVar[str] = "list a model's prototypes, and draw them"
    group: ClassVar[str] = "output"

    classes: tuple[str, ...] | None = option(None, "only those of these classes")
    output: Path | None = option(
        None,
        "picture (.png, .pdf, .svg) to write, or a folder for it (default: the run folder)",
        metavar="PATH",
    )


@dataclass
class EvaluateCommand(SourceOptions, JsonOption):
    """Measure a model, or several together."""

    line: ClassVar[str] = "accuracy, confusion, figures a class, gap to the black box, unused prototypes"
    group: ClassVar[str] = "data"

    runs: list[str] = option(
        list, "run folder, model folder or Hugging Face hub id", positional=True, many=True, metavar="RUN"
    )
    ensemble: bool = option(False, "measure the runs' answers put together", title="model")
    allow_import: str | None = option(None, IMPORT, metavar="NAME", title="output")
    split: str = option("auto", "images to measure on; auto: test, else val", choices=SPLITS)
    output: Path | None = option(
        None, "file, or folder, to write the result to as well, as JSON", metavar="PATH", title="output"
    )


@dataclass
class ReportCommand(SourceOptions):
    """One page of one or more runs."""

    line: ClassVar[str] = "write one HTML page of runs, side by side"
    group: ClassVar[str] = "report"

    runs: list[str] = option(list, "run or model folders", positional=True, many=True, metavar="RUN")
    explain: int = option(8, "how many test images to explain, wrong answers first", least=0)
    top: int = option(5, "how many reasons to show of each", least=1)
    title: str | None = option(None, "the page's title")
    seed: int = option(0, "which images are explained follows from it", least=0)
    allow_import: str | None = option(
        None,
        IMPORT,
        metavar="NAME",
        title="output",
    )
    output: Path | None = option(
        None,
        "the page's file, or a folder for it (default: the first run folder)",
        metavar="PATH",
        title="output",
    )


@dataclass
class EmbedCommand(SourceOptions, RunOptions):
    """Draw the latent space."""

    line: ClassVar[str] = "draw the latent space in two dimensions, with the prototypes"
    group: ClassVar[str] = "figure"

    projection: str = option("pca", "pca, or umap (pip install 'resemblance[umap]')", choices=("pca", "umap"))
    split: str = option("auto", "images to draw; auto: test, else val", choices=SPLITS)
    limit: int = option(2000, "draw at most so many images", least=1)
    seed: int = option(0, "which images are drawn, and UMAP's layout", least=0)
    output: Path | None = option(
        None,
        "picture (.png, .pdf, .svg) to write, or a folder for it (default: the run folder)",
        metavar="PATH",
        title="output",
    )


COMMANDS: dict[str, type] = {
    "demo": DemoCommand,
    "methods": MethodsCommand,
    "train": TrainCommand,
    "convert": ConvertCommand,
    "explain": ExplainCommand,
    "prototypes": PrototypesCommand,
    "evaluate": EvaluateCommand,
    "report": ReportCommand,
    "embed": EmbedCommand,
}
