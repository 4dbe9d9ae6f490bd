"""Read weights from a local file, without executing code from it."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

from safetensors.torch import load as load_tensors

from resemblance.config.errors import UserError
from resemblance.config.files.named_files import check_weights_file
from resemblance.encoders.checkpoint.inert import RefusedPickle, is_pickle, load_inert
from resemblance.encoders.checkpoint.weight_sets import State, WeightSet, weight_sets

ONLY_TENSORS = "torch.save(model.state_dict(), 'w.pth')"


def read_weights(path: str | Path) -> State:
    """Read the tensors of a weights file by name, also from within the dictionaries of training scripts.

    Args:
        path: a .safetensors file, or a .pth, .pt, .bin or .ckpt file of `torch.save`.

    Returns:
        The first of the sets that `read_sets` returns.

    Raises:
        UserError: as `read_sets`.
    """
    return read_sets(path)[0].tensors


def read_sets(path: str | Path) -> list[WeightSet]:
    """Read all sets of named tensors of a weights file; averaged weights come first.

    Objects beside the tensors, such as the arguments of a training script, are not made: nothing of their classes is
    imported or run.

    Args:
        path: a .safetensors file, or a .pth, .pt, .bin or .ckpt file of `torch.save`.

    Raises:
        UserError: if the file does not exist, is damaged, contains no named tensors, or contains a whole pickled
            module or another object instead of them.
    """
    path = Path(path).expanduser()
    check_weights_file(path)
    try:
        if path.suffix == ".safetensors":
            # safetensors cannot open a name that is not UTF-8
            return weight_sets(load_tensors(path.read_bytes()), path)
        _check_archive(path)
        content = load_inert(path)
    except RefusedPickle as error:
        raise UserError(
            f"weights file '{path}' contains pickled Python objects that call {error.name}, which reading would "
            f"execute and no training script needs: do not trust it; weights are saved by {ONLY_TENSORS}"
        ) from error
    except pickle.UnpicklingError as error:
        if not is_pickle(path):
            raise UserError(f"weights file '{path}' is damaged or is not a weights file") from error
        cause = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
        shown = f" ({cause.group(1)[:150]})" if cause else ""
        raise UserError(
            f"weights file '{path}' contains pickled Python objects that cannot be read without executing them{shown}; "
            f"if you trust it, open it with your own code and save only its tensors: {ONLY_TENSORS}"
        ) from error
    except UserError:
        raise
    except Exception as error:  # torch and safetensors raise a dozen kinds, all of which mean damage
        raise UserError(f"weights file '{path}' is damaged or is not a weights file") from error
    return weight_sets(content, path)


def _check_archive(path: Path) -> None:
    """Refuse programs, and an archive whose files are larger than itself, which was made to fill memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
        declared = sum(entry.file_size for entry in archive.infolist())
    if "constants.pkl" in names:
        raise UserError(
            f"weights file '{path}' is a TorchScript program (torch.jit.save), not a file of tensors; save these: "
            f"torch.save(torch.jit.load('{path.name}').state_dict(), 'w.pth')"
        )
    if any(name.startswith("models/") or name == "archive_format" for name in names):
        raise UserError(
            f"weights file '{path}' is a program of torch.export, not a file of tensors; save its tensors: "
            f"torch.save(torch.export.load('{path.name}').state_dict, 'w.pth')"
        )
    if declared > path.stat().st_size:
        raise UserError(
            f"weights file '{path}' is compressed, which torch.save does not do: unpacked it has {declared:,} bytes"
        )
