"""Run folders: making one, and finding a model and its images again."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.data.open import open_data
from resemblance.data.sources.source import DataSplits, Source
from resemblance.methods.loading import load
from resemblance.training.engine.devices import DistributedContext, find_accelerator
from resemblance.version import __version__

PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "scikit-learn", "Pillow", "safetensors")
CONFIG, METRICS, MODEL = "config.yaml", "metrics.json", "model"


@dataclass
class Run:
    """A finished run: its model and, where there is a run folder, how it came about.

    Args:
        name: what to call it.
        model: in evaluation mode.
        folder: the run folder; None for a model folder alone, or one from the hub.
        config: what the run folder's config.yaml says.
    """

    name: str
    model: Classifier
    folder: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def place(self, output: Path | None, name: str) -> Path:
        """Where to write a file: as the user says, else into the run folder, else here.

        Args:
            output: what the user says: a file, or a folder for it (one that is there, or without an ending).
            name: of the file, where the user names none.

        Raises:
            UserError: if nothing can be written there.
        """
        path = in_folder(output, name) or (self.folder or Path()) / name
        check_writable(path.parent)
        return path

    def images(self, data: str | None, skip_bad_images: bool = False) -> DataSplits:
        """The images that the run was made with, split as then, or others of the same classes.

        Raises:
            UserError: if nobody says which, or the classes are others.
        """
        spec = data or self.config.get("data")
        if not spec:
            raise UserError(f"{self.name} does not say on which images it was trained; add --data")
        splits = open_data(
            spec,
            seed=split_seed(self.config),
            val_fraction=float(self.config.get("val_fraction", 0.1)),
            skip_bad_images=skip_bad_images or bool(self.config.get("skip_bad_images")),
        )
        mine, theirs = self.model.spec.classes, splits.classes
        if tuple(theirs) != tuple(mine):
            raise UserError(
                f"{spec} has the classes {_names(theirs)}, but {self.name} tells apart {_names(mine)}; "
                "give --data with the same classes in the same order"
            )
        return splits


def open_run(path: str, allow_import: str | None = None, accelerator: str = "cpu") -> Run:
    """Open a run folder, a model folder or a model of the hub.

    Raises:
        UserError: if there is no model there, or it cannot be trusted.
    """
    folder: Path | None = None
    here = Path(path).expanduser()
    if here.exists():
        if not here.is_dir():
            raise UserError(f"{path} is a file; a run folder or a model folder was expected")
        for candidate in (here, here.resolve().parent):
            if (candidate / CONFIG).is_file() and (candidate / MODEL).is_dir():
                folder = candidate
                break
        else:
            if (here / "checkpoints").is_dir():
                raise UserError(f"{path} holds a run that is not finished; go on with it by train --resume")
            if not (here / "config.json").is_file():
                raise UserError(
                    f"{path} is neither a run folder (with model/) nor a model folder (with config.json)"
                )
    elif path.count("/") != 1 or path.startswith((".", "~", "/")):
        raise UserError(f"no such folder: {path}")
    model = load(path if not here.exists() else here, allow_import=allow_import)
    config = {} if folder is None else _read_config(folder / CONFIG)
    model.to(device(accelerator))
    return Run(folder.name if folder is not None and folder.name else here.name, model, folder, config)


def run_config(path: str) -> dict[str, Any]:
    """What the config.yaml of a run folder says, or of the one around a model folder; empty without one."""
    here = Path(path).expanduser()
    for candidate in (here, here.resolve().parent):
        if here.is_dir() and (candidate / CONFIG).is_file() and (candidate / MODEL).is_dir():
            return _read_config(candidate / CONFIG)
    return {}


def split_seed(config: dict[str, Any]) -> int:
    """The seed by which a run's validation images were set aside."""
    return int(config.get("split_seed", config.get("seed", 0)) or 0)


def device(accelerator: str) -> torch.device:
    """What a command computes on."""
    return DistributedContext(find_accelerator(accelerator, 1)).device


def choose(splits: DataSplits, split: str) -> tuple[str, Source]:
    """The images of a split; ``auto`` is test, or val where there are no test images.

    Raises:
        UserError: if there are none.
    """
    test = splits.test if splits.test is not None and len(splits.test) else None
    name = split if split != "auto" else "test" if test is not None else "val"
    source = {"train": splits.train, "val": splits.val, "test": test}[name]
    if source is None or not len(source):
        missing = "neither test nor val" if split == "auto" else f"no {name}"
        raise UserError(f"{splits.name} has {missing} images; choose another --split")
    return name, source


def check_run_folder(folder: Path, resume: bool | None = None) -> Path:
    """See before anything is computed that a run can be kept in a folder; it is made by `record`.

    Args:
        folder: the run folder.
        resume: whether to go on with the run there; None for commands that cannot.

    Raises:
        UserError: if it cannot be written, or holds a run already.
    """
    check_writable(folder)
    if not resume and any((folder / name).exists() for name in (MODEL, "checkpoints")):
        cure = ", or --resume to go on with it" if resume is not None else ""
        raise UserError(f"{folder} holds a run already; give another --output{cure}")
    return folder


def in_folder(output: Path | None, name: str) -> Path | None:
    """The file that the user wants: ``output``, or ``name`` in it if that is a folder.

    Example:
        >>> in_folder(Path("figures/"), "latents.png").as_posix(), in_folder(Path("a.png"), "b.png").as_posix()
        ('figures/latents.png', 'a.png')
    """
    if output is not None and (output.is_dir() or not output.suffix):
        return output / name
    return output


def check_writable(folder: Path) -> None:
    """See that a folder is there or can be made.

    Raises:
        UserError: if nothing can be written there.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UserError(f"cannot make the folder {folder}: {place} is a file")
    if not os.access(place, os.W_OK):
        raise UserError(f"cannot write into {place}")


def make_folder(folder: Path) -> Path:
    """Make a folder where it is not there yet.

    Raises:
        UserError: if it cannot be made.
    """
    check_writable(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from None
    return folder


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def record(folder: Path, command: str, options: Any, **settled: Any) -> None:
    """Write config.yaml: the command with all options, and the versions; ``--config`` reads it again.

    Args:
        folder: the run folder.
        command: its name.
        options: the command's dataclass.
        settled: what was decided on the way, and overrides the options.
    """
    values: dict[str, Any] = {"command": command}
    for key, value in asdict(options).items():
        if key == "method" and isinstance(value, dict):
            values |= {"method": options.name, **value}
        elif key not in ("name", "resume", "json"):
            values[key] = value
    values |= settled
    if values.get("data"):
        values["data"] = absolute(str(values["data"]))
    values["versions"] = versions()
    text = yaml.safe_dump(_plain(values), sort_keys=False, allow_unicode=True)
    temporary = make_folder(folder) / f"{CONFIG}.new"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / CONFIG)


def absolute(data: str) -> str:
    """A data set's name with its folder from the root, so that it is found from elsewhere."""
    kind, colon, folder = data.rpartition(":")
    if not Path(folder).exists() or (not colon and data == "digits"):
        return data
    return f"{kind}{colon}{Path(folder).resolve()}"


def versions() -> dict[str, str]:
    """The versions of what computes."""
    found = {"resemblance": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _read_config(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return values if isinstance(values, dict) else {}


def _names(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:5]) + (f", … ({len(classes)})" if len(classes) > 5 else "")
