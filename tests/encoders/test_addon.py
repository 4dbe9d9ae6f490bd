from __future__ import annotations

import pytest
import torch
from torch import nn

from resemblance.config.errors import UserError
from resemblance.encoders.addon import AddOn, halving


@pytest.mark.parametrize(
    ("channels", "depth", "widths"),
    [
        (512, 128, [512, 256, 256, 128, 128]),
        (2048, 128, [2048, 1024, 1024, 512, 512, 256, 256, 128, 128]),
        (512, 200, [512, 256, 256, 200, 200]),
        (128, 128, [128, 128, 128]),
        (64, 128, [64, 128, 128]),
    ],
)
def test_bottleneck_halves_until_depth(channels: int, depth: int, widths: list[int]) -> None:
    assert halving(channels, depth) == widths
    addon = AddOn("bottleneck", channels, depth)
    kinds = [type(layer).__name__ for layer in addon]
    assert kinds == ["Conv2d", "ReLU"] * (len(widths) - 2) + ["Conv2d", "Sigmoid"]


def test_initial_weights_are_kaiming_normal_over_fan_out() -> None:
    addon = AddOn("regular", 512, 256)
    for layer in addon:
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            assert not layer.bias.any()
            assert layer.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.05)


def test_shapes_and_range() -> None:
    torch.manual_seed(0)
    latents = torch.randn(2, 32, 5, 7)
    for kind in ("regular", "bottleneck"):
        out = AddOn(kind, 32, 8)(latents)
        assert out.shape == (2, 8, 5, 7)
        assert 0 < out.min() < out.max() < 1
    none = AddOn("none", 32, 8)
    assert none(latents) is latents
    assert none.channels == 32
    with pytest.raises(UserError, match="regular, bottleneck, none"):
        AddOn("big", 32, 8)
