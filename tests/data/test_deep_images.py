"""Images of more than 8 bits: windows, signs, and notes by the span of their values."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from made_images import encoded, fill, refusal
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import open_data, read_image
from resemblance.data.images import BANDS, PAGES, VALUES
from resemblance.data.inputs import as_tensor
from resemblance.data.sources.loose import loose_images
from resemblance.data.spec import infer_image_spec


def tiff(values, sample_format=1, photometric=1, more=()):
    """Write a TIFF of one page by hand, also of kinds that Pillow does not write."""
    values = np.ascontiguousarray(values)
    height, width = values.shape[:2]
    bands = 1 if values.ndim == 2 else values.shape[2]
    bits, data = 8 * values.itemsize, values.tobytes()
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
    ]
    tags += [(277, 3, bands), (278, 4, height), (279, 4, len(data)), (339, 3, sample_format), *more]
    start, tail = 8 + len(data), b""
    entries = b""
    place = start + 2 + 12 * (len(tags) + (bands > 1 and photometric != 2)) + 4
    if bands > 1 and photometric != 2:
        tags.append((338, 3, 0))
    for tag, kind, value in sorted(tags):
        count = {258: bands, 339: bands, 338: bands - 1}.get(tag, 1)
        if count > 2:
            entries += struct.pack("<HHII", tag, kind, count, place + len(tail))
            tail += struct.pack(f"<{count}H", *[value] * count)
        elif kind == 3:
            entries += struct.pack("<HHIHH", tag, kind, count, value, value if count == 2 else 0)
        else:
            entries += struct.pack("<HHII", tag, kind, count, value)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return struct.pack("<2sHI", b"II", 42, start) + data + directory + tail


RAMP = np.linspace(-1000, 1000, 64).round().astype("<i2").reshape(8, 8)
EXPECTED = ((RAMP.astype(float) + 1000) * 255 / 2000).round()


def read(data, window=None):
    return np.asarray(read_image(data, "a.tif", window))


@pytest.mark.parametrize("kind", ["<i2", "<i4", "<f4"])
def test_a_window_reads_signed_and_floating_point_values(kind):
    data = tiff(RAMP.astype(kind), 3 if kind == "<f4" else 2)
    np.testing.assert_array_equal(read(data, (-1000, 1000)), EXPECTED)
    assert "from -1000 to 1000" in refusal(read, data)
    assert "--window -1000,1000" in refusal(read, data)


def test_values_outside_of_the_window_are_black_or_white():
    values = np.array([[-1100, -160, 41, 240, 3000]], "<i2")
    assert read(tiff(values, 2), (-160, 240)).tolist() == [[0, 0, 128, 255, 255]]


def test_unknown_values_are_black():
    values = np.array([[np.nan, 0, 100]], "<f4")
    assert read(tiff(values, 3), (0, 100)).tolist() == [[0, 0, 255]]


def test_signed_bytes_are_not_read_as_unsigned_ones():
    values = np.array([[-128, 0, 127]], np.int8)
    assert read(tiff(values, 2), (-128, 127)).tolist() == [[0, 128, 255]]
    assert "signed 8-bit pixels from -128 to 127" in refusal(read, tiff(values, 2))


def test_a_window_for_unsigned_16_bits_and_none_for_8_bits():
    offset = (RAMP.astype(int) + 32768).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        data = encoded(Image.fromarray(offset), kind)
        np.testing.assert_array_equal(read(data, (31768, 33768)), EXPECTED)
        assert len(np.unique(read(data))) == 8
        assert read_image(data).info[VALUES][:2] == (31768, 33768)
    grey = encoded(Image.new("L", (4, 4), 100))
    assert (read(grey, (0, 1000)) == 100).all()


def test_white_is_zero_in_16_bits_too():
    values = np.array([[0, 65535]], "<u2")
    assert read(tiff(values, photometric=0)).tolist() == [[255, 0]]


def test_a_window_is_not_for_deep_colours():
    with pytest.raises(UserError, match="16-bit colours"):
        read(tiff(np.zeros((4, 4, 3), "<u2"), photometric=2), (0, 1000))


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (0, float("nan")), (0, float("inf"))])
def test_windows_that_cannot_be(window):
    with pytest.raises(UserError, match="--window needs two numbers"):
        ImageSpec(8, 8, 1, (0.5,), (0.5,), window=window)
    with pytest.raises(UserError, match="--window needs two numbers"):
        open_data("digits", window=window)


def test_bands_and_pages():
    two = np.stack([np.full((4, 4), 7), np.full((4, 4), 9)], axis=2).astype("u1")
    image = read_image(tiff(two), "two.tif")
    assert (np.asarray(image) == 7).all()
    assert image.info[BANDS] == 2
    message = refusal(read, tiff(np.zeros((4, 4, 5), "u1")))
    assert "5 bands of 8 bits; save one of them as a grey image, or three as RGB" in message
    pages = [Image.new("L", (4, 4), level) for level in (0, 128, 255)]
    for kind in ("TIFF", "GIF", "WEBP", "PNG"):
        image = read_image(encoded(pages[0], kind, save_all=True, append_images=pages[1:]), "a")
        assert image.info[PAGES] == 3
    assert PAGES not in read_image(encoded(pages[0], "TIFF"), "a").info


def test_raw_files_of_cameras_are_named():
    for more in ([(254, 4, 1)], [(50706, 4, 1)]):
        assert "raw file of a camera" in refusal(read, tiff(np.zeros((4, 4), "u1"), more=more))


def scans(folder, low=31768, high=33768, kind="PNG"):
    generator = np.random.default_rng(0)
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for number in range(6):
            values = generator.integers(low, high + 1, (8, 8))
            values.flat[:2] = low, high
            data = (
                encoded(Image.fromarray(values.astype(np.uint16)))
                if kind == "PNG"
                else tiff(values.astype("<i2"), 2)
            )
            (folder / name / f"{number}.{'png' if kind == 'PNG' else 'tif'}").write_bytes(data)
    return str(folder)


def test_few_shades_are_noted_by_the_span_of_the_values(tmp_path):
    data = scans(tmp_path / "ct")
    notes = [note for note in open_data(data).notes if "shades" in note]
    assert len(notes) == 1
    assert "values from 31,768 to 33,768" in notes[0]
    assert "only 8 of 256 shades: trained with --window 31768,33768" in notes[0]
    splits = open_data(data, window=(31768, 33768))
    assert not any("shades" in note for note in splits.notes)
    assert len(np.unique(splits.train.array)) > 100
    assert splits.window == infer_image_spec(splits).window == (31768, 33768)
    assert not any("shades" in note for note in open_data(scans(tmp_path / "full", 0, 65535)).notes)


def test_what_only_a_window_can_tell_is_asked_for_once_for_all_images(tmp_path):
    data = scans(tmp_path, -1024, 3071, "TIFF")
    message = refusal(open_data, data)
    assert "8 images have signed 16-bit pixels from -1024 to 3071" in message or "12 images" in message
    assert "--window -1024,3071" in message
    assert "--skip-bad-images" not in message
    assert len(open_data(data, window=(-1024, 3071)).train) > 0


def test_a_window_without_effect_is_noted(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    assert (
        "the window has no effect: all images have 8 bits" in open_data(str(tmp_path), window=(0, 100)).notes
    )
    splits = open_data("digits", window=(0, 100))
    assert "the window has no effect: these images have 8 bits" in splits.notes
    assert splits.window is None


def test_a_model_reads_every_kind_of_input_by_its_window(tmp_path):
    spec = ImageSpec(8, 8, 1, (0.5,), (0.5,), window=(-1000, 1000))
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(RAMP, 2))
    expected = EXPECTED / 255
    for image in (
        path,
        path.read_bytes(),
        RAMP,
        RAMP.astype(np.int32),
        Image.fromarray(RAMP.astype(np.int32)),
    ):
        np.testing.assert_allclose(as_tensor(image, spec).tensor[0].numpy(), expected, atol=1e-6)
    source, _ = loose_images(str(path), ["a"], window=(-1000, 1000))
    np.testing.assert_array_equal(np.asarray(source.read(0)), EXPECTED)


def test_the_window_is_stored_and_older_descriptions_have_none():
    image = ImageSpec(8, 8, 1, (0.5,), (0.5,), window=(-160, 240))
    spec = ModelSpec(("a", "b"), image)
    assert ModelSpec.from_dict({**spec.to_dict()}) == spec
    plain = ModelSpec(("a", "b"), ImageSpec(8, 8, 1, (0.5,), (0.5,))).to_dict()
    assert "window" not in plain["image"]
    assert ModelSpec.from_dict(plain).image.window is None


def test_a_model_without_a_window_is_not_told_to_take_one(tmp_path):
    spec = ImageSpec(8, 8, 1, (0.5,), (0.5,))
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(RAMP, 2))
    for call in (lambda: as_tensor(path, spec), lambda: loose_images(str(path), ["a"])):
        message = refusal(call)
        assert "signed 16-bit pixels from -1000 to 1000" in message
        assert (
            "this model was trained without --window: save the images as those that it was trained on"
            in message
        )
