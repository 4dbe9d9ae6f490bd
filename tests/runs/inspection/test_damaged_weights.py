"""Weights that are damaged, missing or replaced are found, and tensors are read without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from damages import PICKLE, WEIGHTS, Damage, add_bytes, assert_found, cut, replace_by_link, write_and_hash
from forged_folders import hash_again
from resemblance.runs.inspection import tensor_file
from resemblance.runs.inspection.tensor_file import read_tensor_file


def forge_tensor(run: Path, name: str, change: Callable[[Tensor], Tensor]) -> None:
    tensors = load_file(run / "model" / WEIGHTS)
    tensors[name] = change(tensors[name])
    save_file(tensors, run / "model" / WEIGHTS)
    hash_again(run / "model")


def spoil(tensor: Tensor) -> Tensor:
    tensor[0, :2] = torch.nan
    return tensor


INCOMPLETE = "is not a safetensors file, or a damaged or incomplete one: "
DAMAGES: dict[str, Damage] = {
    "weights missing": (lambda run: (run / "model" / WEIGHTS).unlink(), "missing", "safetensors is missing"),
    "weights cut off": (lambda run: cut(run / "model" / WEIGHTS, 5000), "unreadable", INCOMPLETE),
    "weights empty": (lambda run: cut(run / "model" / WEIGHTS, 0), "unreadable", INCOMPLETE),
    "weights changed": (lambda run: cut(run / "model" / WEIGHTS, 5000), "changed", "not match its checksum"),
    "weights longer": (lambda run: add_bytes(run / "model" / WEIGHTS), "unreadable", INCOMPLETE),
    "weights are a pickle": (
        lambda run: write_and_hash(run, WEIGHTS, PICKLE * 50),
        "unreadable",
        "is not a safetensors file",
    ),
    "weights NaN": (
        lambda run: forge_tensor(run, "prototypes.vectors", spoil),
        "unreadable",
        "2 values are infinite or NaN, in prototypes.vectors",
    ),
    "owners of another shape": (
        lambda run: forge_tensor(run, "prototypes.owners", lambda owners: owners.sum()),
        "contradiction",
        "prototypes.owners has the shape (), not (prototypes, classes)",
    ),
    "weights a link out": (
        lambda run: replace_by_link(run / "model" / WEIGHTS, "/dev/zero"),
        "foreign",
        "leads out of the folder, and is not read",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found(name: str, run: Path) -> None:
    assert_found(run, DAMAGES[name])


def test_tensors_are_read_as_safetensors_reads_them(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    tensors = {
        "a": torch.arange(6).reshape(2, 3),
        "b": torch.tensor([True, False]),
        "c": torch.tensor([1.5, float("inf"), float("nan")]),
        "half": torch.tensor([1.0, float("nan")], dtype=torch.bfloat16),
        "none": torch.empty(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
    }
    save_file(tensors, path, {"author": "somebody"})
    read = read_tensor_file(path, "it")
    assert read.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert read.values == sum(tensor.numel() for tensor in tensors.values())
    for name, tensor in tensors.items():
        array = read.read(name)
        if name == "half":
            assert array is None
        else:
            assert array is not None
            np.testing.assert_array_equal(array, tensor.numpy())
    assert read.read("other") is None


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_values_that_are_not_finite_are_counted_part_by_part(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_file, "CHUNK", chunk)
    wide = torch.ones(5, 3)
    wide[0, 1] = wide[4, 2] = torch.nan
    tensors = {
        "a.weight": wide,
        "b.weight": torch.tensor(float("inf"), dtype=torch.float64),
        "c.weight": torch.tensor([0.0, float("-inf")], dtype=torch.float16),
        "d.weight": torch.ones(2),
        "e.weight": torch.empty(0, 3),
        "f.weight": torch.arange(3),
        "g.weight": torch.tensor([float("nan")], dtype=torch.bfloat16),
        "g.unknown": torch.tensor([float("nan")]),
    }
    save_file(tensors, tmp_path / WEIGHTS)
    counts = read_tensor_file(tmp_path / WEIGHTS, "it").not_finite((".weight",))
    assert counts == {"a.weight": 2, "b.weight": 1, "c.weight": 1}
