"""Images of all kinds are converted to the model's tensors, or refused with one line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from made_images import noise, refusal
from resemblance.config.image import ImageSpec
from resemblance.data.inputs import as_tensor

RGB = ImageSpec(8, 8, 3, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("mode", ["RGBX", "YCbCr", "HSV", "RGBa", "PA", "P", "CMYK", "RGBA", "LA"])
def test_every_kind_of_pil_image_is_read_by_its_colours(mode):
    blue = Image.new("RGB", (8, 8), (0, 0, 255)).convert("RGBA" if mode == "RGBa" else "RGB")
    image = (blue.convert("P").convert("PA") if mode == "PA" else blue.convert(mode)).copy()
    tensor, _, _ = as_tensor(image, RGB)
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
    tensor, _, _ = as_tensor(grey, RGB)
    assert (tensor == tensor[:1]).all()
    assert as_tensor(colour, ImageSpec(8, 8, 1, (0.5,), (0.5,)))[0].shape == (1, 8, 8)
