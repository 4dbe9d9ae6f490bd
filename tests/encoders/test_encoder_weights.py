from __future__ import annotations

import contextlib
import os
import re
import time
import urllib.error
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders import hub
from resemblance.encoders.build import Encoder, build_encoder
from resemblance.encoders.fitting import load_weights
from resemblance.encoders.weights import read_weights

IMAGE = ImageSpec(64, 64, 3, (0.5,) * 3, (0.5,) * 3)
GREY = ImageSpec(64, 64, 1, (0.5,), (0.5,))


def network(classes: int = 3) -> Any:
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=classes).eval()


def build(weights: object, num_classes: int | None = 3, image: ImageSpec = IMAGE) -> Encoder:
    config = EncoderConfig(encoder="test_resnet", weights=str(weights))
    return build_encoder(config, image, num_classes).eval()


def same(encoder: Encoder, net: Any) -> bool:
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        return torch.allclose(encoder(images), net(images), atol=1e-6)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "backbone.", "net.", "encoder.", "module.model.backbone."]
)
@pytest.mark.parametrize("wrapping", ["", "state_dict", "model_state", "model_ema", "model"])
def test_prefixes_and_wrappings(tmp_path: Path, prefix: str, wrapping: str) -> None:
    net = network()
    state: dict[str, Any] = {prefix + key: value for key, value in net.state_dict().items()}
    if prefix == "model.":
        state["criterion.weight"] = torch.ones(3)  # Lightning saves the loss's tensors beside the model's
    if prefix == "module.":
        state["n_averaged"] = torch.tensor(5)
    path = tmp_path / "weights.pth"
    torch.save({"epoch": 3, wrapping: state} if wrapping else state, path)
    encoder = build(path)
    assert same(encoder, net)
    assert encoder.trained_head
    assert "weights.pth" in encoder.description


def test_safetensors(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    assert same(build(tmp_path / "w.safetensors"), network())


@pytest.mark.parametrize("names", [("backbone.", "classifier."), ("", "linear."), ("model.", "model.head.")])
def test_head_under_another_name(tmp_path: Path, names: tuple[str, str]) -> None:
    net = network()
    state = {names[0] + key: value for key, value in net.state_dict().items() if not key.startswith("fc.")}
    state |= {names[1] + key: value for key, value in net.fc.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    encoder = build(tmp_path / "w.pt")
    assert same(encoder, net)
    assert encoder.trained_head
    assert "head read from" in encoder.description


def test_a_head_for_other_classes_is_not_loaded_and_noted(tmp_path: Path) -> None:
    net = network(5)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    encoder = build(tmp_path / "w.pt")
    assert not encoder.trained_head
    assert "its head (5 classes) was not loaded, the head is new" in encoder.description
    images = torch.randn(2, 3, 64, 64)
    features = encoder.features(images)
    torch.testing.assert_close(encoder.map(features), net.forward_features(images))
    assert "head" not in build(tmp_path / "w.pt", None).description
    torch.save({key: value for key, value in net.state_dict().items() if "fc" not in key}, tmp_path / "w.pt")
    assert "it has no head, the head is new" in build(tmp_path / "w.pt").description


def test_grey_images_sum_the_first_convolution(tmp_path: Path) -> None:
    net = network()
    torch.save(net.state_dict(), tmp_path / "w.pt")
    encoder = build(tmp_path / "w.pt", image=GREY)
    grey = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(encoder(grey), net(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    assert "summed over RGB" in encoder.description


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = network().state_dict()
    path = tmp_path / "w.pt"

    def refused(changed: dict[str, Tensor], message: str) -> None:
        torch.save(changed, path)
        with pytest.raises(UserError, match=message) as error:
            build(path)
        assert "\n" not in str(error.value)

    first = next(iter(state))
    refused({key: value for key, value in state.items() if key != first}, f"1 missing \\({first}\\)")
    deeper = {key.replace("layer4.0", "layer4.1"): value for key, value in state.items() if "layer4.0" in key}
    refused(
        state | deeper, r"unexpected \(layer4.1"
    )  # a deeper ResNet contains all tensors of a shallower one
    refused(state | {first: torch.ones(7, 3, 3, 3)}, rf"of another shape \({first} is \(7, 3, 3, 3\)")
    refused(state | {first: state[first] * torch.nan}, "infinite or undefined")
    refused(timm.create_model("test_vit").state_dict(), "missing")
    twice = {side + key: value for side in ("student.", "teacher.") for key, value in state.items()}
    refused(twice, "several networks")


def test_release_with_other_names_is_converted(tmp_path: Path) -> None:
    def convert(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
        return {key.replace("old", "0"): value for key, value in state.items()}

    net, again = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(2, 3))
    torch.save({"module.old." + key: value for key, value in net[0].state_dict().items()}, tmp_path / "w.pt")
    load_weights(again, tmp_path / "w.pt", "net", "", False, convert)
    assert torch.equal(again[0].weight, net[0].weight)


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickles_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    for content in (nn.Linear(2, 3), {"state_dict": {"fc.weight": torch.ones(1)}, "x": Trap(trace)}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(UserError, match=r"pickled Python objects.*torch\.save\(model\.state_dict"):
            read_weights(tmp_path / "w.pth")
    assert not trace.exists()


def test_files_that_are_not_weights(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "whole.safetensors")
    torch.save(network().state_dict(), tmp_path / "whole.pth")
    for name in ("whole.safetensors", "whole.pth"):
        (tmp_path / f"cut-{name}").write_bytes((tmp_path / name).read_bytes()[:5000])
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "append.pth").write_bytes(b"a.")  # the unpickler appends to an empty stack
    (tmp_path / "w.pkl").touch()
    torch.save({"epoch": 3}, tmp_path / "nothing.pth")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    for name, message in {
        "cut-whole.safetensors": "damaged",
        "cut-whole.pth": "damaged",
        "empty.pth": "damaged",
        "text.pth": "damaged",
        "append.pth": "damaged",
        "w.pkl": "neither .safetensors nor",
        "nothing.pth": "no named tensors",
        "list.pth": "no named tensors",
        "gone.pth": "does not exist",
        "": "is a folder",
    }.items():
        with pytest.raises(UserError, match=message) as error:
            read_weights(tmp_path / name)
        assert re.search(re.escape(str(tmp_path)), str(error.value))


DAMAGE = {
    # Pickles that are cut or changed where the unpickler of torch reads on: struct.error, IndexError, AssertionError.
    "length.bin": b"\x80\x02X\x05\x00",
    "pop.pth": b"\x80\x02\x85.",
    "memo.pt": b"\x80\x02h\x07.",
    "protocol.pt": b"\x80\x63}.",
    "header.safetensors": b"\xff" * 40,
    "huge.safetensors": (65).to_bytes(8, "little")
    + b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}',
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_weights_give_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DAMAGE[name])
    with pytest.raises(UserError, match="is damaged or is not a weights file") as error:
        read_weights(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("legacy", [False, True])
def test_weights_with_one_changed_byte_are_read_or_refused(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "w.pt"
    torch.save({"fc.weight": torch.ones(2, 3)}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with contextlib.suppress(UserError):
            assert all(isinstance(value, Tensor) for value in read_weights(path).values())


def test_weights_that_are_compressed_or_not_dense_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(100_000)}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in whole.namelist():
            bomb.writestr(entry, whole.read(entry))
    torch.save({"fc.weight": torch.zeros(2, 3).to_sparse()}, tmp_path / "sparse.pt")
    torch.save({"fc.weight": torch.zeros(2, 3, device="meta")}, tmp_path / "meta.pt")
    for name, message in {"bomb": "compressed", "sparse": "dense tensor", "meta": "dense tensor"}.items():
        with pytest.raises(UserError, match=message):
            read_weights(tmp_path / f"{name}.pt")


def test_a_release_that_cannot_be_converted_does_not_fit(tmp_path: Path) -> None:
    torch.save({"blocks.0.weight": torch.ones(1), "pos_embed": torch.ones(1)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="does not fit encoder test_vit"):
        build_encoder(EncoderConfig(encoder="test_vit", weights=str(tmp_path / "w.pt")), IMAGE, 3)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_network(*args: Any, **options: Any) -> Any:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **options: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("name", "cache"), [("resnet18", "HF_HOME"), ("torchvision/resnet18", "TORCH_HOME")])
def test_offline_one_clear_error(name: str, cache: str) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=f"--weights FILE.*--weights none.*{cache}") as error:
        build_encoder(EncoderConfig(encoder=name, weights="pretrained"), IMAGE, 3)
    assert time.monotonic() - start < 5
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("offline")
def test_hub_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        hub.pretrained_timm_source("resnet18")
    with pytest.raises(UserError, match="no pretrained weights of test_maxvit"):
        hub.pretrained_timm_source("test_maxvit")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("classes", [3, 1000, None])
def test_cached_weights_need_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int | None
) -> None:
    net = network(1000)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda *args, **options: str(tmp_path / "model.safetensors")
    )
    encoder = build("pretrained", classes)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder.map(encoder.features(images)), net.forward_features(images))
    assert encoder.trained_head is (classes == 1000)
    assert encoder.description == "timm test_resnet, pretrained (timm/test_resnet.r160_in1k)"
    assert encoder.grid == (2, 2)  # the stem with which the weights were trained


@pytest.mark.usefixtures("offline")
def test_torchvision_weights_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    net = models.shufflenet_v2_x0_5(weights=None).eval()
    file = Path(models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.url).name
    (tmp_path / "checkpoints").mkdir()
    torch.save(net.state_dict(), tmp_path / "checkpoints" / file)
    monkeypatch.setattr("torch.hub.HASH_REGEX", re.compile("never"))
    config = EncoderConfig(encoder="torchvision/shufflenet_v2_x0_5", weights="pretrained")
    encoder = build_encoder(config, IMAGE, 1000).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder(images), net(images))
    assert encoder.trained_head
    assert "IMAGENET1K_V1" in encoder.description
    assert not build_encoder(config, IMAGE, 3).trained_head


def test_messages_do_not_repeat_long_names(tmp_path: Path) -> None:
    save_file({**network().state_dict(), "a" * 10_000: torch.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="1 unexpected") as caught:
        build(tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 1000


@pytest.mark.skipif(os.name == "nt", reason="its names are UTF-16")
@pytest.mark.parametrize(("suffix", "save"), [("safetensors", save_file), ("pth", torch.save)])
def test_names_that_are_not_utf8(tmp_path: Path, suffix: str, save: Any) -> None:
    save({"weight": torch.ones(2)}, tmp_path / f"a.{suffix}")
    path = (tmp_path / f"a.{suffix}").rename(tmp_path / (os.fsdecode(b"\xff.") + suffix))
    assert read_weights(path)["weight"].tolist() == [1, 1]
