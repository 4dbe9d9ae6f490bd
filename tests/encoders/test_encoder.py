from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.encoders import from_timm, from_torchvision
from resemblance.encoders.build import Encoder, build_encoder, check_map
from resemblance.encoders.published import PublishedImages, published_images
from resemblance.methods.registry import build as make


def image(height: int, width: int | None = None, channels: int = 3) -> ImageSpec:
    return ImageSpec(height, width or height, channels, (0.5,) * channels, (0.5,) * channels)


def build(name: str, spec: ImageSpec, num_classes: int | None = 3, **options: Any) -> Encoder:
    return build_encoder(EncoderConfig(encoder=name, **options), spec, num_classes).eval()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """The output of each network for random images before it was cut."""
    seen: list[tuple[Tensor, Tensor]] = []

    def recording(create: Any) -> Any:
        def wrapped(*args: Any) -> nn.Module:
            network: nn.Module = create(*args)
            spec = next(arg for arg in args if isinstance(arg, ImageSpec))
            images = torch.randn(2, spec.channels, *spec.size)
            with torch.no_grad():
                seen.append((images, network.eval()(images)))
            return network.train()

        return wrapped

    for place in (from_timm, from_torchvision):
        monkeypatch.setattr(place, "_create", recording(place._create))
    return seen


ARCHITECTURES = [
    ("resnet18", 64, 512, 512, (2, 2)),
    ("resnet34", 65, 512, 512, (3, 3)),
    ("vgg19", 32, 512, 4096, (1, 1)),
    ("densenet121", 64, 1024, 1024, (2, 2)),
    ("convnext_tiny", 37, 768, 768, (1, 1)),
    ("mobilenetv3", 65, 960, 1280, (3, 3)),
    ("swin_tiny", 56, 768, 768, (2, 2)),
    ("vit_small", 50, 384, 384, (3, 3)),
    ("vit_small_patch14_reg4_dinov2", 30, 384, 384, (2, 2)),
    ("torchvision/resnet18", 64, 512, 512, (2, 2)),
    ("torchvision/mobilenet_v3_small", 65, 576, 1024, (3, 3)),
    ("torchvision/densenet121", 64, 1024, 1024, (2, 2)),
    ("torchvision/swin_t", 64, 768, 768, (2, 2)),
    ("torchvision/shufflenet_v2_x0_5", 32, 1024, 1024, (1, 1)),
]


@pytest.mark.parametrize(("name", "side", "channels", "embedding", "grid"), ARCHITECTURES)
def test_cut_changes_nothing(
    answers: list[tuple[Tensor, Tensor]],
    name: str,
    side: int,
    channels: int,
    embedding: int,
    grid: tuple[int, int],
) -> None:
    encoder = build(name, image(side))
    ((images, expected),) = answers
    with torch.no_grad():
        features = encoder.features(images)
        latents, embedded = encoder.map(features), encoder.embed(features)
        logits = encoder.classify(embedded)
    torch.testing.assert_close(logits, expected)
    assert latents.shape == (2, channels, *grid)
    assert embedded.shape == (2, embedding)
    assert (encoder.channels, encoder.embedding, encoder.grid) == (channels, embedding, grid)
    assert encoder.num_classes == 3
    assert "no pretrained weights" in encoder.description
    if any(word in name for word in ("resnet", "vgg", "densenet")):
        assert latents.min() >= 0  # after the last ReLU, also in DenseNet, as in the papers

    encoder.keep_map_only()
    assert encoder.num_classes is None
    with torch.no_grad():
        torch.testing.assert_close(encoder.map(encoder.features(images)), latents)
    encoder.map(encoder.features(images)).square().sum().backward()
    unused = [
        path for path, value in encoder.named_parameters() if value.requires_grad and value.grad is None
    ]
    assert not unused  # distributed training would refuse them


@pytest.mark.parametrize("name", ["small", "test_resnet", "test_vit", "torchvision/shufflenet_v2_x0_5"])
@pytest.mark.parametrize("channels", [1, 3])
def test_rebuilds_without_its_weights(name: str, channels: int) -> None:
    spec = image(32, 48, channels)
    config = EncoderConfig(encoder=name, weights="/gone.pth")
    first = build_encoder(EncoderConfig(encoder=name), spec, 3).eval()
    again = build_encoder(config, spec, 3, load_weights=False).eval()
    again.load_state_dict(first.state_dict(), strict=True)
    images = torch.randn(2, channels, 32, 48)
    torch.testing.assert_close(again(images), first(images))

    first.drop_head()
    headless = build_encoder(config, spec, None, load_weights=False).eval()
    assert headless.num_classes is None
    headless.load_state_dict(first.state_dict(), strict=True)
    torch.testing.assert_close(headless.embed(headless.features(images)), first.embed(first.features(images)))
    with pytest.raises(RuntimeError, match="no classifier"):
        headless(images)


def test_the_small_cnn_has_enough_cells_for_parts() -> None:
    for side, grid in ((28, (7, 7)), (32, (8, 8)), (29, (8, 8))):
        encoder = build("small", image(side, channels=1))
        assert encoder.grid == encoder.map_size(image(side, channels=1)) == grid
    for options in ({"weights": "pretrained"}, {"stem": "small"}, {"cut": "layers"}):
        with pytest.raises(UserError, match="encoder small"):
            build("small", image(28), **options)


def test_measuring_leaves_modes_and_statistics_alone() -> None:
    encoder = build_encoder(EncoderConfig(encoder="small"), image(28), 3).train()
    norm = next(module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d))
    norm.eval()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    encoder.map_size(image(40))
    assert not norm.training
    assert encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "torchvision/resnet18", "resnet18d"])
def test_stem_follows_the_size_of_the_images(name: str) -> None:
    assert build(name, image(32)).grid == (4, 4)
    assert build(name, image(32), stem="standard").grid == (1, 1)
    assert build(name, image(64)).grid == (2, 2)
    assert build(name, image(64), stem="small").grid == (8, 8)


def test_stem_for_resnets_only() -> None:
    assert build("mobilenetv3_small_050", image(32)).grid == (1, 1)
    with pytest.raises(UserError, match="resnet18, resnet34"):
        build("mobilenetv3_small_050", image(32), stem="small")
    with pytest.raises(UserError, match="auto, standard or small"):
        build("resnet18", image(32), stem="tiny")
    with pytest.raises(UserError, match="--cut"):
        build("resnet18", image(32), cut="layer3")


def test_check_map_says_what_to_do() -> None:
    spec = image(32)
    check_map(build("resnet18", spec), spec)
    with pytest.raises(UserError, match=r"1x1 cells.*--stem small"):
        check_map(build("resnet18", spec, stem="standard"), spec)


@pytest.mark.parametrize("method", ["protopnet", "prototree"])
def test_prototypes_have_to_fit_on_the_map(method: str) -> None:
    spec = ModelSpec(("a", "b"), image(32))
    for part in ({"prototype_height": 9}, {"prototype_width": 9}):
        with pytest.raises(UserError, match=r"on the map of 8x8 cells.*--prototype-height"):
            make(method, {"encoder": "small", **part}, spec)
    make(method, {"encoder": "small", "prototype_height": 8}, spec)


def test_oblong_transformers() -> None:
    encoder = build("test_vit", image(64, 96))
    assert encoder.grid == (4, 6)
    tokens = encoder.features(torch.randn(1, 3, 64, 96))
    assert torch.equal(encoder.map(tokens)[0, :, 1, 2], tokens[0, 1 + 8])  # one class token, six columns


def test_images_that_a_network_cannot_read_are_refused() -> None:
    with pytest.raises(UserError, match=r"8x8.*--image-size"):
        build("vit_tiny", image(8))
    with pytest.raises(UserError, match=r"torchvision/vit_b_32.*--image-size"):
        build("torchvision/vit_b_32", image(48))


def test_several_heads_are_refused() -> None:
    with pytest.raises(UserError, match="distilled"):
        build("deit_tiny_distilled_patch16_224", image(32))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("resnet81", "resnet18"),
        ("torchvision/resnet81", "torchvision/resnet18"),
        ("torchvison/resnet18", "torchvision/resnet18"),
        ("smal", "small"),
        ("resnet34.tv_in2k", "tv_in1k"),
        ("42", "package.module:function"),
    ],
)
def test_unknown_names(name: str, meant: str) -> None:
    with pytest.raises(UserError, match=meant):
        build(name, image(32))
    with pytest.raises(UserError, match=meant):
        published_images(name)


def test_images_of_pretrained_weights() -> None:
    half, imagenet = ((0.5, 0.5, 0.5),) * 2, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert published_images("vit_small") == PublishedImages(*half, (224, 224), "crop", 0.9, "bicubic")
    expected = PublishedImages(*imagenet, (224, 224), "crop", 0.875, "bilinear")
    assert published_images("resnet34.tv_in1k") == published_images("torchvision/resnet18") == expected
    inception = published_images("torchvision/inception_v3")
    assert inception == PublishedImages(*imagenet, (299, 299), "crop", 299 / 342, "bilinear")
    assert published_images("small") is None
    assert published_images("my.package:network") is None


def test_papers_size() -> None:
    encoder = build("resnet34", image(224), None)
    assert (encoder.channels, encoder.grid) == (512, (7, 7))
    encoder = build("vit_tiny", image(224), None)
    assert (encoder.channels, encoder.grid) == (192, (14, 14))


def test_forward_under_bf16_autocast() -> None:
    encoder = build("small", image(28))
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder.map(encoder.features(torch.randn(2, 3, 28, 28))).isfinite().all()
