from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import Encoder, build_encoder

IMAGE = ImageSpec(32, 32, 3, (0.5,) * 3, (0.5,) * 3)


class Net(nn.Module):
    """A network as a user might write it, with its pooling in `forward`."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        )
        self.hidden = nn.Linear(16, 12)
        self.out = nn.Linear(12, classes)

    def forward(self, images: Tensor) -> Any:
        return self.out(self.hidden(self.body(images).mean((2, 3))).relu_())


def build(module: nn.Module, num_classes: int | None = 4, **options: Any) -> Encoder:
    return build_encoder(EncoderConfig(encoder="custom", **options), IMAGE, num_classes, module=module).eval()


def test_finds_map_embedding_and_classifier() -> None:
    net = Net().eval()
    before = copy.deepcopy(net.state_dict())
    encoder = build(net)
    images = torch.randn(3, 3, 32, 32)
    features = encoder.features(images)
    assert torch.equal(encoder.map(features), net.body(images))
    assert torch.equal(encoder.embed(features), net.hidden(net.body(images).mean((2, 3))).relu())
    assert torch.equal(encoder(images), net(images))
    assert (encoder.channels, encoder.embedding, encoder.grid, encoder.num_classes) == (16, 12, (8, 8), 4)
    assert encoder.trained_head
    assert "own weights" in encoder.description
    encoder.keep_map_only()
    assert torch.equal(encoder.map(encoder.features(images)), net.body(images))
    assert isinstance(net.out, nn.Linear)  # the user's network is unchanged
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_cut_at_a_named_layer() -> None:
    encoder = build(Net(), cut="body.2")
    assert (encoder.channels, encoder.grid) == (8, (16, 16))
    with pytest.raises(UserError, match=r"no layer named 'bodi.2'; it has body.2"):
        build(Net(), cut="bodi.2")
    with pytest.raises(UserError, match="expected"):
        build(Net(), cut="hidden")


def test_gradients_reach_the_layers_from_map_and_from_embedding() -> None:
    encoder = build(Net()).train()
    features = encoder.features(torch.randn(2, 3, 32, 32))
    latents = encoder.map(features)
    (relevance,) = torch.autograd.grad(encoder.classify(encoder.embed(features))[:, 1].sum(), latents)
    assert relevance.abs().sum() > 0
    (encoder(torch.randn(2, 3, 32, 32)).square().sum()).backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_map_only_leaves_no_parameter_without_gradient() -> None:
    encoder = build(Net(), None).train()
    encoder.keep_map_only()
    encoder.map(encoder.features(torch.randn(2, 3, 32, 32))).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert sum(p.numel() for p in encoder.parameters()) == sum(p.numel() for p in Net().body.parameters())
    assert encoder.embed(encoder.features(torch.randn(2, 3, 32, 32))).shape == (2, 16)


def test_two_threads_keep_their_features_apart() -> None:
    encoder = build(Net())
    images = torch.randn(8, 1, 3, 32, 32)
    with torch.no_grad():
        expected = [encoder(batch) for batch in images]
        features: dict[int, Tensor] = {}

        def work(index: int) -> None:
            with torch.no_grad():
                for _ in range(20):
                    features[index] = encoder(images[index])

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(images))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.equal(features[index], expected[index]) for index in range(len(images)))


@pytest.mark.parametrize(
    "answer",
    [
        lambda logits: logits.softmax(1),
        lambda logits: logits.log_softmax(1),
        lambda logits: {"logits": logits},
        lambda logits: (logits, None),
    ],
)
def test_answers_in_other_forms(answer: Any) -> None:
    class Wrapped(Net):
        def forward(self, images: Tensor) -> Any:
            return answer(super().forward(images))

    net = Wrapped().eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(build(net)(images), Net.forward(net, images))


def test_answers_that_do_not_come_from_the_last_layer() -> None:
    class Scaled(Net):
        def forward(self, images: Tensor) -> Any:
            return super().forward(images).square()

    class Named(Net):
        def forward(self, images: Tensor) -> Any:
            return "cat"

    with pytest.raises(UserError, match="changes the output of its last linear layer, out;"):
        build(Scaled())
    with pytest.raises(UserError, match="returns str"):
        build(Named())
    with pytest.raises(UserError, match=r"does not end in an nn.Linear"):
        build(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(UserError, match="1-channel images"):
        build_encoder(EncoderConfig(encoder="custom"), ImageSpec(32, 32, 1, (0.5,), (0.5,)), 4, module=Net())


def test_network_that_ends_in_a_map() -> None:
    encoder = build(Net().body, None)
    assert (encoder.channels, encoder.embedding, encoder.grid) == (16, 16, (8, 8))
    encoder = build(Net().body, 5)
    assert encoder(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert not encoder.trained_head


def test_other_number_of_classes_is_refused() -> None:
    with pytest.raises(UserError, match="has 4 classes, but 7 are needed"):
        build(Net(), 7)
    assert build(Net(), None).num_classes is None


@pytest.mark.parametrize(("name", "cut"), [("test_vit", "norm"), ("mobilenetv3_small_050", "blocks")])
def test_tokens_and_layers_after_the_pooling(name: str, cut: str) -> None:
    options = {} if "mobile" in name else {"img_size": 32}
    net = timm.create_model(name, num_classes=4, **options).eval()
    encoder, direct = build(net), build_encoder(EncoderConfig(encoder=name), IMAGE, 4).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(encoder(images), net(images))
    assert encoder.grid == direct.grid
    assert encoder.channels == net.num_features
    torch.testing.assert_close(
        encoder.map(encoder.features(images)), direct.map(net.forward_features(images))
    )
    named = build(net, cut=cut)
    torch.testing.assert_close(named.map(named.features(images)), encoder.map(encoder.features(images)))


def test_channels_that_come_last() -> None:
    class Last(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return latents.permute(0, 2, 3, 1) if latents.shape[-1] == 8 else latents.mean((1, 2))

    net = nn.Sequential(Net().body, Last(), Last(), nn.Linear(16, 4)).eval()
    encoder, images = build(net), torch.randn(2, 3, 32, 32)
    assert (encoder.channels, encoder.grid) == (16, (8, 8))
    assert torch.equal(encoder.map(encoder.features(images)), net[0](images))


def test_copies_read_their_own_layers() -> None:
    encoder = build(Net())
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert twin.map(twin.features(torch.randn(2, 3, 32, 32))).abs().max() == 0
    assert encoder.map(encoder.features(torch.randn(2, 3, 32, 32))).abs().max() > 0


def test_found_cut_does_not_depend_on_the_size_of_the_images() -> None:
    encoder = build_encoder(EncoderConfig(encoder="torchvision/resnet18", stem="standard"), IMAGE, 2)
    assert (encoder.channels, encoder.grid) == (512, (1, 1))


def test_function_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_networks.py").write_text(
        "from torch import nn\n"
        "def tiny(): return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),"
        " nn.Flatten(), nn.Linear(6, 2))\n"
        "def broken(): raise KeyError('lost')\n"
        "def number(): return 3\n"
    )
    monkeypatch.chdir(tmp_path)

    def by_name(name: str, **options: Any) -> Encoder:
        return build_encoder(EncoderConfig(encoder=name, **options), IMAGE, 2)

    encoder = by_name("my_networks:tiny")
    assert (encoder.channels, encoder.grid) == (6, (30, 30))
    assert encoder.name == "my_networks:tiny"
    for name, message in {
        "my_networks:missing": "no function 'missing'",
        "no_such_package:tiny": "cannot import 'no_such_package'",
        "my_networks:broken": "KeyError: 'lost'",
        "my_networks:number": "returned int",
    }.items():
        with pytest.raises(UserError, match=message):
            by_name(name)
    with pytest.raises(UserError, match="no published weights"):
        by_name("my_networks:tiny", weights="pretrained")
    with pytest.raises(UserError, match="not for your own network"):
        by_name("my_networks:tiny", stem="small")
