"""Read weights from a local file, without executing code from it."""

from __future__ import annotations

import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from resemblance.config.errors import UserError

State = dict[str, Tensor]
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "state_dict_ema",
    "model_ema",
    "ema",
    "module",
)
PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".th")


def read_weights(path: str | Path) -> State:
    """Read the tensors of a weights file by name, also from within the dictionaries of training scripts.

    Args:
        path: a .safetensors file, or a .pth, .pt, .bin or .ckpt file with tensors only.

    Raises:
        UserError: if the file does not exist, is damaged, contains no named tensors, or contains pickled Python
            objects, which are never executed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"weights file '{path}' {problem}; use --weights none, pretrained, or a file")
    if path.suffix not in (".safetensors", *PICKLED):
        raise UserError(f"weights file '{path}' is neither .safetensors nor {', '.join(PICKLED)}")
    try:
        if path.suffix == ".safetensors":
            return load_tensors(path.read_bytes())  # safetensors cannot open a name that is not UTF-8
        _check_archive(path)
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _is_pickle(path):
            raise UserError(f"weights file '{path}' is damaged or is not a weights file") from error
        raise UserError(
            f"weights file '{path}' contains pickled Python objects (perhaps a whole module), which reading "
            "would execute; if you trust it, save only its tensors: torch.save(model.state_dict(), 'w.pth')"
        ) from error
    except UserError:
        raise
    except Exception as error:  # torch and safetensors raise a dozen kinds, all of which mean damage
        raise UserError(f"weights file '{path}' is damaged or is not a weights file") from error
    return _unwrap(content, path)


def _check_archive(path: Path) -> None:
    """Refuse an archive whose files are larger than itself: torch compresses nothing, so it was made to fill memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        declared = sum(entry.file_size for entry in archive.infolist())
    if declared > path.stat().st_size:
        raise UserError(
            f"weights file '{path}' is compressed, which torch.save does not do: unpacked it has {declared:,} bytes"
        )


def _is_pickle(path: Path) -> bool:
    """Check, without executing anything, whether the file or the ``data.pkl`` in it begins with a complete pickle."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                [name] = [name for name in archive.namelist() if name.endswith("data.pkl")]
                content = archive.read(name)
        else:
            content = path.read_bytes()
        for _ in pickletools.genops(content):
            pass
    except Exception:  # damaged archives and pickles raise errors of many types
        return False
    return True


def _unwrap(content: object, path: Path) -> State:
    for _ in range(4):
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
            odd = next((key for key, value in tensors.items() if not _is_dense(value)), None)
            if odd is not None:
                raise UserError(f"weights file '{path}': {odd!r} is not an ordinary dense tensor with values")
            if tensors:
                return tensors
            break
        content = inner
    raise UserError(f"weights file '{path}' contains no named tensors (a state dict was expected)")


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not (
        tensor.is_meta or tensor.is_quantized or tensor.is_complex()
    )
