"""The options of each command; flat, typed, torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from resemblance.config.audit.audit_options import AuditOptions
from resemblance.config.evaluation.measure_options import MeasureOptions
from resemblance.config.experiments.reproduce_command import ReproduceCommand
from resemblance.config.experiments.sweep_command import SweepCommand
from resemblance.config.groups import IMPORT, RUN, SKIP, JsonOption, RunOptions, SourceOptions
from resemblance.config.method import MethodConfig
from resemblance.config.options import option
from resemblance.config.relevance import CHECK_HELP, MAPS_HELP, NO_CHECK_HELP, SHOWN_MAPS
from resemblance.config.runs import ConvertOptions, TrainOptions
from resemblance.config.training import ACCELERATORS, DEVICES, SEED
from resemblance.config.values import check_fields

FEW = 10  # images whose figures are drawn, and whose maps are checked, unless somebody says otherwise
FIGURES = ("auto", "none", "wrong", "all")  # which explanations get a figure
SPLITS = ("auto", "train", "val", "test")
PICTURE = "picture to write (.png, .pdf or .svg), or a folder for it (default: the run folder)"

AGAINST = (
    "what scores are compared with, so that contributions add up to the difference: mean (of the classes), runner-up, "
    "a class, or none for the plain score; auto is the mean for logits with many negative weights, and none for others"
)


@dataclass
class DemoCommand(JsonOption):
    """Train, convert, explain and audit once, on the embedded digits."""

    group: ClassVar[str] = "output"
    line: ClassVar[str] = "train, convert, explain and audit on the embedded digits, in two minutes"

    output: Path = option(Path("resemblance-demo"), "folder for the runs and the report", metavar="DIR")
    seed: int = option(0, SEED, least=0)


@dataclass
class MethodsCommand(JsonOption):
    """List the methods."""

    line: ClassVar[str] = "list the methods"


@dataclass
class TrainCommand(TrainOptions, JsonOption):
    """Train a method; the method's own options come from its configuration."""

    line: ClassVar[str] = "train a model"

    name: str = ""
    method: MethodConfig = field(default_factory=MethodConfig)


@dataclass
class ConvertCommand(ConvertOptions, JsonOption):
    """Convert a trained classifier into a self-explaining model, with KMEx."""

    line: ClassVar[str] = "convert a trained classifier into a self-explaining one (KMEx)"


@dataclass
class ExplainCommand(RunOptions):
    """Explain a model's predictions for images."""

    group: ClassVar[str] = "explanation"
    line: ClassVar[str] = "explain a model's predictions for images"

    images: list[str] = option(
        list, "image files, or folders with their subfolders", positional=True, many=True, metavar="IMAGE"
    )
    top: int = option(5, "number of reasons to show", least=1)
    prototypes: tuple[int, ...] | None = option(
        None, "numbers of the prototypes to show instead, whatever their class"
    )
    classes: tuple[str, ...] | None = option(
        None, "classes whose scores are explained (default: the predicted class)"
    )
    against: str = option("auto", AGAINST, metavar="WHAT")
    label: str | None = option(
        None, "true class of the images (default: the class folders in which they lie)", metavar="CLASS"
    )
    labels: Path | None = option(
        None, "table with the true classes of the images, with columns file and class", metavar="TABLE"
    )
    abstain_below: float | None = option(
        None,
        "abstain where the deciding similarity is below this quantile of correctly classified validation images, "
        "for instance 0.01",
        least=0,
        most=1,
        metavar="Q",
    )
    conformal: float | None = option(
        None,
        "also answer with a set of classes that holds the true one with this probability, for instance 0.9",
        least=0,
        most=1,
        metavar="LEVEL",
    )
    maps: str = option(
        "auto", f"{MAPS_HELP}. For more than 10 images, auto is similarity or none", choices=SHOWN_MAPS
    )
    check_maps: bool | None = option(None, f"{CHECK_HELP} (default for up to 10 images)", off=NO_CHECK_HELP)
    figures: str = option(
        "auto", "images that get a figure of their own; auto is all of up to 10", choices=FIGURES
    )
    skip_bad_images: bool = option(False, f"{SKIP}; in folders they are always left out")
    batch_size: int = option(16, "images per batch", least=1)
    accelerator: str = option("auto", "hardware to compute on", choices=ACCELERATORS)
    output: Path | None = option(
        None,
        "folder for tables, an HTML page and figures, or one picture or .html file (default: explanations/ in the run "
        "folder)",
        metavar="PATH",
        title="output",
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass
class PrototypesCommand(RunOptions):
    """List a model's prototypes, and draw them."""

    line: ClassVar[str] = "list a model's prototypes, and draw them"
    group: ClassVar[str] = "output"

    classes: tuple[str, ...] | None = option(None, "classes whose prototypes are shown (default: all)")
    output: Path | None = option(None, PICTURE, metavar="PATH")


@dataclass
class InspectCommand(JsonOption):
    """Describe a folder without running anything."""

    line: ClassVar[str] = (
        "say what is in a folder, and what does not belong or match, without running anything"
    )

    folder: str = option(None, "run folder or model folder", positional=True, metavar="FOLDER")


@dataclass
class EvaluateCommand(SourceOptions, MeasureOptions, JsonOption):
    """Measure one model, or several together."""

    line: ClassVar[str] = "measure accuracy and confusion, or all that --metrics names, of one run or several"
    group: ClassVar[str] = "data"

    runs: list[str] = option(list, RUN, positional=True, many=True, metavar="RUN")
    ensemble: bool = option(False, "combine the runs into one ensemble and measure that", title="model")
    allow_import: str | None = option(None, IMPORT, metavar="NAME", title="output")
    split: str = option("auto", "images to measure on; auto is test, else val", choices=SPLITS)
    devices: int = option(1, DEVICES, least=1)
    output: Path | None = option(
        None,
        "also write the result, as JSON, to this file or folder; with --metrics, a folder for tables, figures and a "
        "page (default: evaluation/ in the first run folder)",
        metavar="PATH",
        title="output",
    )


@dataclass
class AuditCommand(SourceOptions, AuditOptions, RunOptions):
    """Try whether a model's explanations can be trusted."""

    line: ClassVar[str] = "try whether a model's explanations can be trusted: attacks, shifts, provenance"
    group: ClassVar[str] = "data"

    split: str = option("auto", "images to try the model on; auto is test, else val", choices=SPLITS)
    devices: int = option(1, DEVICES, least=1)
    batch_size: int = option(32, "images per batch", least=1)
    output: Path | None = option(
        None,
        "folder for the page, pictures, JSON and JUnit XML (default: audit/ in the run folder)",
        metavar="DIR",
        title="output",
    )


@dataclass
class ReportCommand(SourceOptions):
    """Write one HTML page about one or more runs."""

    line: ClassVar[str] = "write one HTML page that shows runs side by side"
    group: ClassVar[str] = "report"

    runs: list[str] = option(list, RUN, positional=True, many=True, metavar="RUN")
    explain: int = option(8, "number of test images to explain, misclassified ones first", least=0)
    top: int = option(5, "number of reasons to show for each image", least=1)
    against: str = option("auto", AGAINST, metavar="WHAT")
    maps: str = option("auto", MAPS_HELP, choices=SHOWN_MAPS)
    check_maps: bool = option(True, f"{CHECK_HELP} (default)", off=NO_CHECK_HELP)
    title: str | None = option(None, "title of the page")
    seed: int = option(0, "seed of the choice of images", least=0)
    allow_import: str | None = option(None, IMPORT, metavar="NAME", title="output")
    output: Path | None = option(
        None,
        "file of the page, or a folder for it (default: the first run folder)",
        metavar="PATH",
        title="output",
    )


@dataclass
class EmbedCommand(SourceOptions, RunOptions):
    """Draw the latent space, with the prototypes in it."""

    line: ClassVar[str] = "draw the latent space in two dimensions, with the prototypes"
    group: ClassVar[str] = "figure"

    projection: str = option(
        "pca", "pca, or umap (needs pip install 'resemblance[umap]')", choices=("pca", "umap")
    )
    split: str = option("auto", "images to draw; auto is test, else val", choices=SPLITS)
    limit: int = option(2000, "largest number of images to draw", least=1)
    seed: int = option(0, "seed of the choice of images and of UMAP's layout", least=0)
    output: Path | None = option(None, PICTURE, metavar="PATH", title="output")


@dataclass
class ExportCommand(RunOptions):
    """Write a model for software without this library."""

    line: ClassVar[str] = "write a model as an ONNX graph that answers with its reasons"
    group: ClassVar[str] = "output"

    onnx: Path = option(
        None,
        "file to write, ending in .onnx, or a folder for it; a description, a script that explains images, and the "
        "pictures of the prototypes are written beside it (needs pip install 'resemblance[onnx]')",
        metavar="FILE",
        required=True,
    )
    pictures: bool = option(
        True,
        "write the pictures of the prototypes, which are training images (default)",
        off="do not write the pictures of the prototypes",
    )


COMMANDS: dict[str, type] = {
    "demo": DemoCommand,
    "methods": MethodsCommand,
    "train": TrainCommand,
    "convert": ConvertCommand,
    "explain": ExplainCommand,
    "inspect": InspectCommand,
    "prototypes": PrototypesCommand,
    "evaluate": EvaluateCommand,
    "audit": AuditCommand,
    "report": ReportCommand,
    "embed": EmbedCommand,
    "export": ExportCommand,
    "reproduce": ReproduceCommand,
    "sweep": SweepCommand,
}
