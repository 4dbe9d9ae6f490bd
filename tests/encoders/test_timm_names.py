"""Test timm's networks that are unlike most others, and that the others are refused with the true reason."""

from __future__ import annotations

import pytest
import timm
import torch

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import build_encoder


def image(side: int) -> ImageSpec:
    return ImageSpec(side, side, 3, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("name", "side", "grid"),
    [
        ("dla46_c", 64, (2, 2)),  # a convolution classifies
        ("coat_lite_tiny", 64, (2, 2)),  # a class token that it does not mention
        ("samvit_base_patch16_224", 224, (14, 14)),  # get_classifier returns the head with its pooling
    ],
)
def test_unusual_networks_give_the_same_logits(name: str, side: int, grid: tuple[int, int]) -> None:
    def make(function, *args):  # type: ignore[no-untyped-def]
        torch.manual_seed(0)
        return function(*args)

    if name.startswith("samvit"):  # large: shapes alone
        with torch.device("meta"), torch.no_grad():
            encoder = build_encoder(EncoderConfig(encoder=name), image(side), 5)
            assert encoder.classify(torch.zeros(1, encoder.embedding)).shape == (1, 5)
            assert encoder.grid == grid
        return
    encoder = make(build_encoder, EncoderConfig(encoder=name), image(side), 5).eval()
    options = {"img_size": side} if name.startswith("coat") else {}
    network = make(lambda: timm.create_model(name, num_classes=5, **options)).eval()
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), network(images), rtol=1e-4, atol=1e-4)
    assert encoder.grid == grid
    assert isinstance(encoder.classifier, torch.nn.Linear)


@pytest.mark.parametrize(
    ("name", "side", "reason"),
    [
        (
            "deit_tiny_distilled_patch16_224",
            224,
            r"2 classifiers \(head, head_dist\).* such as deit_tiny_patch16_224",
        ),
        ("crossvit_tiny_240", 240, r"2 classifiers \(head\.0, head\.1\)"),
        ("efficientformer_l1", 224, r"2 classifiers \(head, head_dist\)"),
        ("coat_tiny", 224, "has features in 3 parts of different sizes, not in one map"),
    ],
)
def test_the_true_reason_is_given(name: str, side: int, reason: str) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=reason) as caught:
        build_encoder(EncoderConfig(encoder=name), image(side), 5)
    assert "image-size" not in str(caught.value)
