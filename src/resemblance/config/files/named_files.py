"""Notice files and folders that do not exist, without torch, so that a misspelt name is answered at once."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from resemblance.config.encoder import TORCHVISION, TRANSFORMERS, plain_name
from resemblance.config.errors import UserError
from resemblance.printing.characters import printable

HUB = "hf:"  # before the name of a model on the Hugging Face Hub; any other name is that of a folder
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# Published data sets, in the layout of their files: NAME:DIR; data.benchmarks.benchmark_readers has their readers.
NAMED = (
    *("mnist", "fashion-mnist", "cifar10", "svhn", "stl10", "quickdraw", "celeba"),
    *("cub", "cub-cropped", "cub-corners", "cars", "cars-cropped", "rendered-cars"),
)
KINDS = (
    *("digits", "a folder", "a .zip", "a MedMNIST .npz", "a folder of Parquet files"),
    "hf:OWNER/NAME of the Hugging Face Hub",
    f"NAME:DIR of a published data set ({', '.join(NAMED)})",
    "KIND:PATH of a module that --import names",
)
PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".th")
SEPARATOR = "::"  # between a file and the entry in it, in --weights
SOURCES = "a run folder, a timm name (give the file to --weights), or package.module:function"


def split_entry(weights: str | Path) -> tuple[Path, str]:
    """Return the file and the entry that ``FILE`` or ``FILE::ENTRY`` names.

    Example:
        >>> split_entry("w.pth::state_dict_ema"), split_entry("w.pth")
        ((PosixPath('w.pth'), 'state_dict_ema'), (PosixPath('w.pth'), ''))
    """
    file, separator, entry = str(weights).rpartition(SEPARATOR)
    if not separator or Path(weights).expanduser().is_file():
        return Path(weights).expanduser(), ""
    return Path(file).expanduser(), entry


def check_weights_file(path: Path) -> None:
    """Check that a file of weights exists and has a known suffix.

    Raises:
        UserError: if not.

    Example:
        >>> check_weights_file(Path("nothing.pth"))
        Traceback (most recent call last):
        resemblance.config.errors.UserError: weights file 'nothing.pth' does not exist; use --weights none, ...
    """
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"weights file '{path}' {problem}; use --weights none, pretrained, or a file")
    if path.suffix not in (".safetensors", *PICKLED):
        raise UserError(f"weights file '{path}' is neither .safetensors nor {', '.join(PICKLED)}")


def is_model_folder(model: str | Path) -> bool:
    """Return whether a model to convert is a folder, or on the Hugging Face Hub; otherwise it is the name of a network.

    Raises:
        UserError: if it is a file, or looks like a folder or file that does not exist.

    Example:
        >>> is_model_folder("resnet18"), is_model_folder("hf:owner/name")
        (False, True)
    """
    path, name = Path(model).expanduser(), str(model)
    if path.is_file():
        raise UserError(f"{model} is a file; MODEL is {SOURCES}")
    if path.is_dir() or name.startswith(HUB):
        return True
    if path.suffix in (".safetensors", ".onnx", ".h5", *PICKLED):
        raise UserError(f"no such file: {model}; MODEL is {SOURCES}")
    if not isinstance(model, Path):
        name = plain_name(name)
    like_a_path = "/" in name and not name.startswith((TORCHVISION, TRANSFORMERS)) and ":" not in name
    if isinstance(model, Path) or name.startswith((".", "~", "/")) or like_a_path:
        raise UserError(f"no such folder: {model}{hub_hint(model)}")
    return False


def hub_hint(path: Path | str) -> str:
    """Return how to write the name of a model on the hub, after an error about a folder that does not exist.

    Example:
        >>> hub_hint("owner/name"), hub_hint("runs/kmex/model")
        ('; for a model on the Hugging Face Hub write hf:owner/name', '')
    """
    could_be = isinstance(path, str) and HUB_ID.fullmatch(path) and not path.startswith(".")
    return f"; for a model on the Hugging Face Hub write {HUB}{path}" if could_be else ""


def check_run_exists(run: str) -> None:
    """Check that a run or model folder exists; names on the hub are not looked up.

    Raises:
        UserError: if it does not.
    """
    if not run.startswith(HUB) and not Path(run).expanduser().exists():
        raise UserError(f"no such folder: {run}{hub_hint(run)}")


def check_data_exists(data: str) -> None:
    """Check that the folder or file of a data set exists; kinds of other packages are not looked up.

    Raises:
        UserError: if it does not; similar names beside it are suggested.
    """
    kind, colon, rest = data.partition(":")
    if not data.strip() or data == "digits" or data in NAMED or (colon and kind not in NAMED):
        return
    path = Path(rest if colon else data).expanduser()
    if not os.path.exists(path):
        start = f"{kind}:DIR needs the folder with {kind}'s files; " if colon else ""
        raise UserError(f"{start}{missing_data(path)}")


def missing_data(path: Path) -> str:
    """Return the error for data that is neither a file nor a folder."""
    shown = printable(str(path))
    if os.path.lexists(path):  # for instance a pipe, which would have to be read more than once
        kind = "neither a file nor a folder" if os.path.exists(path) else "a broken link"
        return f"{shown} is {kind}; data can be {', '.join(KINDS)}"
    near = []
    if os.access(path.parent, os.R_OK) and os.path.isdir(path.parent):
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), 1)
    hint = (
        f"did you mean {printable(str(path.parent / near[0]))}?"
        if near
        else f"data can be {', '.join(KINDS)}"
    )
    return f"no such data: {shown}; {hint}"
