"""Images of all kinds are converted to the model's tensors, or refused with one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from made_images import noise, refusal
from resemblance.config.image import ImageSpec
from resemblance.data.inputs import as_tensor

RGB = ImageSpec(8, 8, 3, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("mode", ["RGBX", "YCbCr", "HSV", "RGBa", "PA", "P", "CMYK", "RGBA", "LA"])
def test_every_kind_of_pil_image_is_read_by_its_colours(mode):
    blue = Image.new("RGB", (8, 8), (0, 0, 255)).convert("RGBA" if mode == "RGBa" else "RGB")
    image = (blue.convert("P").convert("PA") if mode == "PA" else blue.convert(mode)).copy()
    tensor, *_ = as_tensor(image, RGB)
    if mode == "LA":
        assert tensor.max() < 0.2
    else:
        assert tensor[2].min() > 0.9
        assert tensor[:2].max() < 0.1


@pytest.mark.parametrize("mode", ["LAB", "I"])
def test_modes_without_a_known_white_are_refused(mode):
    refusal(as_tensor, Image.new(mode, (8, 8)), RGB)


def test_pictures_without_pixels():
    assert "0x0 pixels is empty" in refusal(as_tensor, Image.new("L", (0, 0)), RGB)
    assert "0x5 pixels is empty" in refusal(as_tensor, np.zeros((5, 0, 3), np.uint8), RGB)


def test_grey_pictures_for_colour_models_and_the_reverse():
    grey, colour = noise(0, (8, 8), 1), noise(1, (8, 8), 3)
    tensor, *_ = as_tensor(grey, RGB)
    assert (tensor == tensor[:1]).all()
    assert as_tensor(colour, ImageSpec(8, 8, 1, (0.5,), (0.5,)))[0].shape == (1, 8, 8)


GREY = ImageSpec(8, 8, 1, (0.5,), (0.5,))


def test_16_bit_arrays_are_scaled_by_the_range_of_their_type():
    levels = np.array([[0, 257 * 40], [257 * 200, 65535]], np.uint16).repeat(4, 0).repeat(4, 1)
    tensor, *_ = as_tensor(levels, GREY)
    assert sorted(set((tensor * 255).round().flatten().tolist())) == [0, 40, 200, 255]
    colour, *_ = as_tensor(np.stack([levels] * 3, axis=2), RGB)
    assert (colour * 255).round().equal((tensor * 255).round().expand(3, -1, -1))


def test_8_bit_tensors_are_pictures():
    pixels = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    tensor, _, preparation, _ = as_tensor(pixels, RGB)
    assert preparation.original == (20, 30)
    assert tensor.equal(as_tensor(pixels.permute(1, 2, 0).numpy(), RGB).tensor)


def test_what_is_converted_stays_as_it_is():
    first = as_tensor(torch.rand(1, 8, 8), GREY, "a.png")
    assert as_tensor(first, GREY) is first


@pytest.mark.parametrize(
    ("image", "cure"),
    [
        (torch.rand(3, 8, 8) * 255, "divide them by 255, or give them as uint8"),
        (np.random.default_rng(0).random((8, 8, 3)) * 255, "divide them by 255, or give them as uint8"),
        (torch.rand(3, 8, 8) / 255, "divided by 255 twice"),
        (torch.randn(3, 8, 8), "before their normalisation"),
        (torch.full((3, 8, 8), torch.nan), "not all finite"),
        (torch.rand(3, 8, 8) * 1.5 + 0.4, "normalises them itself"),
        (torch.rand(8, 8, 3), "its channels come last, so use .permute(2, 0, 1)"),
        (np.random.default_rng(0).random((3, 8, 8)), "its channels come first, so use .transpose(1, 2, 0)"),
        (np.zeros((3, 8, 8), np.uint8), "its channels come first, so use .transpose(1, 2, 0)"),
        (torch.rand(3, 16, 16), "resize it, or give a picture"),
        (torch.rand(4, 3, 8, 8), "several images"),
        (np.zeros((4, 8, 8, 3), np.uint8), "a list of such arrays"),
        (torch.rand(0, 3, 8, 8), "an empty batch"),
        (torch.rand(3, 0, 8), "it is empty"),
        (np.zeros((0, 8, 3)), "8x0 pixels is empty"),
        (np.full((8, 8, 3), 7), "use .astype(np.uint8)"),
        (torch.full((3, 8, 8), 7), "accepted as uint8"),
    ],
)
def test_inputs_that_cannot_be_right_are_not_answered(image, cure):
    assert cure in refusal(as_tensor, image, RGB)


@pytest.mark.parametrize("size", [(1201, 1200), (1300, 7), (2345, 1777), (5, 3000), (1999, 1999), (1200, 3)])
def test_large_pictures_are_shown_as_pillow_scales_them_and_stay_as_they_are(size):
    picture = Image.linear_gradient("L").resize(size)
    before, expected = np.array(picture), picture.copy()
    expected.thumbnail((1200, 1200), Image.Resampling.LANCZOS, reducing_gap=2.0)
    shown = as_tensor(picture, ImageSpec(8, 8, 1, (0.5,), (0.5,))).original
    np.testing.assert_array_equal(shown[..., 0], expected)
    np.testing.assert_array_equal(picture, before)
