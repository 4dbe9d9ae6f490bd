"""Test weights files as other people's training scripts write them."""

from __future__ import annotations

import argparse
import collections
import copy
import datetime
import enum
import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import Encoder, build_encoder
from resemblance.encoders.weights import read_sets, read_weights

IMAGE = ImageSpec(64, 64, 3, (0.5,) * 3, (0.5,) * 3)


class Mode(enum.Enum):
    """An enumeration of a training script's own."""

    FAST = 1


class Settings(dict[str, Any]):
    """A mapping of a training script's own, as EasyDict and others are."""


class Loss(nn.Module):
    """A module of a training script's own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


def network(classes: int = 3, seed: int = 1) -> Any:
    torch.manual_seed(seed)
    return timm.create_model("test_resnet", num_classes=classes).eval()


def build(weights: object, num_classes: int | None = 3) -> Encoder:
    return build_encoder(
        EncoderConfig(encoder="test_resnet", weights=str(weights)), IMAGE, num_classes
    ).eval()


def same(encoder: Encoder, net: Any) -> bool:
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        return torch.allclose(encoder(images), net(images), atol=1e-5)


BESIDE = {
    "namespace": argparse.Namespace(lr=0.1, out=PurePosixPath("/x")),
    "numpy": np.float64(91),
    "array": np.arange(3),
    "defaultdict": collections.defaultdict(list, loss=[1.0]),
    "deque": collections.deque([1, 2], maxlen=5),
    "path": {"out": PurePosixPath("/x")},
    "date": datetime.datetime(2026, 1, 2),
    "enum": Mode.FAST,
    "mapping": Settings(lr=Settings(start=0.1)),
    "slots": [slice(1), range(3), {1, 2}, frozenset([3]), complex(1, 2)],
    "module": Loss(),
    "device": torch.device("cpu"),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", BESIDE)
def test_objects_beside_the_tensors_become_inert(tmp_path: Path, kind: str, legacy: bool) -> None:
    net = network()
    content = {"state_dict": net.state_dict(), "beside": BESIDE[kind], "epoch": 3}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    before = set(torch.serialization.get_safe_globals())
    if legacy and kind == "module":  # the old format stores its source, for which torch refuses the file
        with pytest.raises(UserError, match=r"pickled Python objects that cannot be read .*persistent_load"):
            build(tmp_path / "w.pth")
        return
    encoder = build(tmp_path / "w.pth")
    assert encoder.trained_head
    assert same(encoder, net)
    assert set(torch.serialization.get_safe_globals()) == before


def test_tensors_in_a_mapping_of_a_foreign_class_are_found(tmp_path: Path) -> None:
    net = network()
    torch.save({"model": Settings(net.state_dict())}, tmp_path / "w.pth")
    assert same(build(tmp_path / "w.pth"), net)


class Call:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "system"),
        (subprocess.call, "subprocess.call"),
        (eval, "builtins.eval"),
        (Path.touch, "getattr"),
    ],
)
def test_calls_that_could_do_harm_are_refused_by_name(tmp_path: Path, function: Any, name: str) -> None:
    arguments = (tmp_path / "made",) if function is Path.touch else (f"touch {tmp_path / 'made'}",)
    torch.save({"state_dict": {"a": torch.ones(1)}, "x": Call(function, *arguments)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=rf"pickled Python objects that call [\w.]*{name}.*do not trust it"):
        read_weights(tmp_path / "w.pth")
    assert not (tmp_path / "made").exists()


def test_functions_of_foreign_modules_do_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_module.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\n"
        "class Thing:\n def __setstate__(self, state): Path('ran').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    thing = importlib.import_module("their_module").Thing()
    thing.value = 3
    (tmp_path / "imported").unlink()
    torch.save({"net": {"a": torch.ones(1)}, "thing": thing}, tmp_path / "w.pth")
    monkeypatch.delitem(sys.modules, "their_module")
    assert read_weights(tmp_path / "w.pth").keys() == {"a"}
    assert not (tmp_path / "imported").exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("wrapping", ["", "model", "ema"])
def test_whole_modules_are_refused_by_the_name_of_their_class(tmp_path: Path, wrapping: str) -> None:
    module = nn.Sequential(nn.Linear(2, 3))
    torch.save({wrapping: module, "epoch": 3} if wrapping else module, tmp_path / "w.pth")
    place = rf" in its entry '{wrapping}'" if wrapping else ""
    with pytest.raises(
        UserError, match=rf"instead of tensors{place}: a torch\.nn\.modules\.\w+\.Sequential.*w\.pth"
    ):
        read_weights(tmp_path / "w.pth")


def test_programs_are_named(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2)).save(str(tmp_path / "w.pt"))
    with pytest.raises(UserError, match=r"TorchScript program.*torch\.jit\.load\('w\.pt'\)\.state_dict\(\)"):
        read_weights(tmp_path / "w.pt")


def wrapped(state: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    if how == "compiled":
        return {f"_orig_mod.{key}": value for key, value in state.items()}
    if how == "compiled in Lightning":
        return {f"model._orig_mod.{key}": value for key, value in state.items()}
    if how == "compiled layer":
        return {key.replace("layer1.", "layer1._orig_mod."): value for key, value in state.items()}
    if how == "parallel layer":
        return {key.replace("layer1.", "layer1.module."): value for key, value in state.items()}
    return {
        f"net.module.{key}".replace(".0.", "._checkpoint_wrapped_module.0."): v for key, v in state.items()
    }


@pytest.mark.parametrize(
    "how", ["compiled", "compiled in Lightning", "compiled layer", "parallel layer", "checkpointed"]
)
def test_what_wrappers_add_to_names_is_removed_wherever_it_is(tmp_path: Path, how: str) -> None:
    net = network()
    torch.save(wrapped(net.state_dict(), how), tmp_path / "w.pth")
    encoder = build(tmp_path / "w.pth")
    assert same(encoder, net)
    assert encoder.trained_head


@pytest.mark.parametrize("place", ["fc.1.", "fc.fc.", "head.1.", "classifier.0."])
def test_a_head_in_a_sequential(tmp_path: Path, place: str) -> None:
    net = network()
    state = {key.replace("fc.", place): value for key, value in net.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    encoder = build(tmp_path / "w.pth")
    assert same(encoder, net)
    assert encoder.trained_head
    assert f"head read from {place[:-1]}" in encoder.description


@pytest.mark.parametrize("name", ["fc", "classifier"])
def test_a_head_of_several_layers_is_named(tmp_path: Path, name: str) -> None:
    net = network()
    state = {key: value for key, value in net.state_dict().items() if not key.startswith("fc.")}
    hidden = nn.Sequential(nn.Linear(net.num_features, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(
        state | {f"{name}.{key}": value for key, value in hidden.state_dict().items()}, tmp_path / "w.pth"
    )
    encoder = build(tmp_path / "w.pth")
    assert not encoder.trained_head
    assert f"its head has several layers ({name}.0, {name}.2)" in encoder.description


@pytest.mark.parametrize("old", [False, True])
def test_weight_normalisation_is_computed(tmp_path: Path, old: bool) -> None:
    net = network()
    normed = copy.deepcopy(net)
    make: Any = torch.nn.utils.weight_norm if old else torch.nn.utils.parametrizations.weight_norm
    with warnings.catch_warnings(action="ignore"):
        make(normed.fc)
    torch.save(normed.state_dict(), tmp_path / "w.pth")
    encoder = build(tmp_path / "w.pth")
    assert encoder.trained_head
    assert same(encoder, net)


def test_averages_of_lightning_are_found_by_the_first_part_of_their_names(tmp_path: Path) -> None:
    raw, averaged = network(seed=1), network(seed=2)
    state = {f"model.{key}": value for key, value in raw.state_dict().items()}
    state |= {f"ema_model.module.{key}": value for key, value in averaged.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.ckpt")
    encoder = build(tmp_path / "w.ckpt")
    assert encoder.entries == ("state_dict.ema_model.module", "state_dict.model")
    assert same(encoder, averaged)
    assert same(build(f"{tmp_path / 'w.ckpt'}::state_dict.model"), raw)
    assert same(build(f"{tmp_path / 'w.ckpt'}::model"), raw)


def test_a_head_with_batch_norm_has_several_layers(tmp_path: Path) -> None:
    net = network()
    state = {key.replace("fc.", "fc.1."): value for key, value in net.state_dict().items()}
    state |= {f"fc.0.{key}": value for key, value in nn.BatchNorm1d(net.num_features).state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    assert "several layers (fc.1, fc.0)" in build(tmp_path / "w.pth").description


def test_one_output_for_two_classes(tmp_path: Path) -> None:
    net = network(1)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    encoder, images = build(tmp_path / "w.pth", 2), torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        logits, z = encoder(images), net(images)
    torch.testing.assert_close(logits, torch.cat([z * 0, z], 1))
    assert "its one output z is read as the logits (0, z)" in encoder.description


def test_half_precision_is_brought_to_float32(tmp_path: Path) -> None:
    torch.save(network().half().state_dict(), tmp_path / "w.pth")
    encoder = build(tmp_path / "w.pth")
    assert encoder.dtype == torch.float32
    assert "brought from float16 to float32" in encoder.description


def test_averaged_weights_beside_others(tmp_path: Path) -> None:
    raw, averaged = network(seed=1), network(seed=2)
    content = {
        "state_dict": raw.state_dict(),
        "state_dict_ema": averaged.state_dict(),
        "optimizer": {"lr": 1},
    }
    path = tmp_path / "w.pth"
    torch.save(content, path)
    assert [one.entry for one in read_sets(path)] == ["state_dict_ema", "state_dict"]
    encoder = build(path)
    assert same(encoder, averaged)
    assert encoder.entries == ("state_dict_ema", "state_dict")
    assert (
        f"state_dict_ema is taken, one of 2 sets of weights in it ({path}::state_dict_ema or {path}::state_dict"
        in (encoder.description)
    )
    assert same(build(f"{path}::state_dict"), raw)
    assert build(f"{path}::state_dict").entries == ()
    with pytest.raises(
        UserError, match="has no entry 'state' with tensors; it has state_dict_ema, state_dict"
    ):
        build(f"{path}::state")


@pytest.mark.parametrize("nested", [False, True])
def test_student_and_teacher_are_a_choice_of_the_user(tmp_path: Path, nested: bool) -> None:
    nets = {"student": network(seed=1), "teacher": network(seed=2)}
    path = tmp_path / "w.pth"
    if nested:
        torch.save(
            {side: {f"module.{key}": v for key, v in net.state_dict().items()} for side, net in nets.items()},
            path,
        )
    else:
        torch.save(
            {f"{side}.{key}": v for side, net in nets.items() for key, v in net.state_dict().items()}, path
        )
    with pytest.raises(
        UserError,
        match=r"several networks of this shape; give one of them: --weights .*::student or .*::teacher",
    ):
        build(path)
    assert same(build(f"{path}::teacher"), nets["teacher"])


def bbn(net: Any, classes: int = 5) -> dict[str, Tensor]:
    """The tensors of BBN's published checkpoint: the last block twice, and a classifier of both."""
    last = f"layer4.{len(net.layer4) - 1}."
    state = {}
    for key, value in net.state_dict().items():
        if key.startswith(last):
            state[f"module.backbone.cb_block.{key.removeprefix(last)}"] = value
        elif not key.startswith("fc."):
            state[f"module.backbone.{key}"] = value
    for key, value in net.layer4[-1].state_dict().items():
        state[f"module.backbone.rb_block.{key}"] = value + 1
    return state | {"module.classifier.weight": torch.ones(classes, 2 * net.num_features)}


@pytest.mark.parametrize("wrapping", ["", "state_dict"])
def test_inaturalist_weights_of_bbn(tmp_path: Path, wrapping: str) -> None:
    net = timm.create_model("resnet18", num_classes=3).eval()
    path = tmp_path / "BBN.iNaturalist2017.res50.180epoch.best_model.pth"
    torch.save({wrapping: bbn(net)} if wrapping else bbn(net), path)
    config = EncoderConfig(encoder="resnet18", weights=str(path))
    encoder: Any = build_encoder(config, IMAGE, 3).eval()
    loaded = encoder.net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items() if "fc." not in key)
    assert not encoder.trained_head
    assert "of its two branches the conventional one is taken" in encoder.description


def test_bbn_of_another_depth_is_refused(tmp_path: Path) -> None:
    net = timm.create_model("resnet18", num_classes=3)
    state = {key: value for key, value in bbn(net).items() if "layer3.1" not in key}
    torch.save(state, tmp_path / "bbn.pth")
    with pytest.raises(UserError, match=r"missing \(layer3.1.conv1.weight"):
        build_encoder(EncoderConfig(encoder="resnet18", weights=str(tmp_path / "bbn.pth")), IMAGE, 3)
