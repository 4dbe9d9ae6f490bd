"""Weights from a local file, read without executing anything."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from resemblance.config.errors import UserError

State = dict[str, Tensor]
WRAPPINGS = (
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
    """Read the tensors of a weights file by name, out of the wrappings that training scripts put around them.

    Args:
        path: a .safetensors file, or a .pth, .pt, .bin or .ckpt with tensors only.

    Raises:
        UserError: if there is no such file, or it is damaged, holds no named tensors, or holds pickled
            Python objects, which are never executed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"weights file '{path}' {what}; --weights takes none, pretrained, or a file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix not in PICKLED:
            raise UserError(f"weights file '{path}' is neither .safetensors nor {', '.join(PICKLED)}")
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "Weights only load failed" not in str(error):
            raise UserError(f"weights file '{path}' is damaged or no weights file") from error
        raise UserError(
            f"weights file '{path}' holds pickled Python objects (a whole module, perhaps), which reading "
            "would execute; if you trust it, save its tensors alone: torch.save(model.state_dict(), 'w.pth')"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"weights file '{path}' is damaged or no weights file") from error
    return _unwrap(content, path)


def _unwrap(content: object, path: Path) -> State:
    for _ in range(4):
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in WRAPPINGS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
            break
        content = inner
    raise UserError(f"weights file '{path}' holds no named tensors (a state dict was expected)")
