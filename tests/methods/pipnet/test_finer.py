"""Finer maps: the encoders of PIP-Net."""

from __future__ import annotations

import pytest
import torch

from resemblance.config.encoder import EncoderConfig
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.encoders.build import build_encoder
from resemblance.methods.pipnet.finer import make_finer
from resemblance.methods.pipnet.stages import stages_of


def encoder(name, size=96, **config):
    image = ImageSpec(size, size, 3, (0.5,) * 3, (0.25,) * 3)
    net = build_encoder(EncoderConfig(encoder=name, **config), image, None)
    net.keep_map_only()
    return net, image


@pytest.mark.parametrize(
    ("name", "stages", "cells"),
    [
        ("test_resnet", None, 12),  # 28 of 224 pixels
        ("test_resnet", 0, 3),
        ("test_resnet", 1, 6),
        ("torchvision/resnet18", 2, 12),
        ("test_convnext", None, 10),  # 26 of 224 pixels
        ("test_convnext", 1, 5),
        ("small", None, 24),
    ],
)
def test_the_map_has_the_expected_cells(name, stages, cells):
    net, image = encoder(name)
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    make_finer(net, image, stages)
    assert net.grid == net.map_size(image) == (cells, cells)
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())


def test_a_small_stem_is_fine_enough():
    net, image = encoder("test_resnet", 32)
    make_finer(net, image, None)
    assert net.grid == (4, 4)


def test_without_stride_the_map_is_the_dense_one():
    """Every second cell of a ResNet's finer stage is computed from the same pixels as a cell of the coarse one."""
    coarse, image = encoder("test_resnet")
    fine, _ = encoder("test_resnet")
    fine.load_state_dict(coarse.state_dict())
    make_finer(fine, image, 1)
    block = [stages_of(model)[-1][0][0] for model in (coarse, fine)]
    features = torch.rand(1, block[0].conv1.in_channels, 6, 6)
    first = [part.eval().bn1(part.conv1(features)) for part in block]
    torch.testing.assert_close(first[1][:, :, ::2, ::2], first[0])


def test_others_are_refused():
    net, image = encoder("small")
    with pytest.raises(UserError, match="ResNets and ConvNeXts"):
        make_finer(net, image, 1)
    net, image = encoder("test_resnet")
    with pytest.raises(UserError, match="its last 3 can"):
        make_finer(net, image, 4)
    make_finer(net, image, 1)
    with pytest.raises(UserError, match="strides alone"):  # no stride is left
        make_finer(net, image, 1)
