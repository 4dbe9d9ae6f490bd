"""Large JPEGs are decoded at a fraction of their size for a model that needs less, with the same geometry."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.dataset import ImageDataset
from resemblance.data.formats.jpeg_draft import DRAFT, SMALLEST
from resemblance.data.geometry import Preparation
from resemblance.data.images import read_image
from resemblance.data.inputs import as_tensor, source_input
from resemblance.data.open import open_data
from resemblance.data.sources import file_source
from resemblance.data.sources.loose import loose_images
from resemblance.data.transforms import to_pixels

FULL = ImageSpec(40, 48, 3, (0.5,) * 3, (0.25,) * 3)
DRAFTED = replace(FULL, draft=True)


def waves(width: int, height: int) -> Image.Image:
    """A smooth picture without any symmetry."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    bands = [np.sin(9 * x + 4 * y), np.cos(7 * y - 3 * x * x), np.sin(5 * x * y + 2 * y)]
    return Image.fromarray((127.5 + 127 * np.stack(bands, axis=-1)).astype(np.uint8))


def jpeg(width: int, height: int, orientation: int = 1, **options) -> bytes:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[274] = orientation
    waves(width, height).save(buffer, options.pop("kind", "JPEG"), quality=95, exif=exif, **options)
    return buffer.getvalue()


def difference(data: bytes, full: ImageSpec, drafted: ImageSpec) -> int:
    """The largest difference of levels, of a picture that must have been drafted."""
    picture = read_image(data, draft_for=drafted)
    assert DRAFT in picture.info
    small, whole = to_pixels(picture, drafted), to_pixels(read_image(data), full)
    return int(np.abs(small.astype(int) - whole).max())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_the_pixels_are_almost_those_of_the_whole_file(resize, orientation):
    """Neither side is a multiple of the fraction; a shift by one decoded pixel would change levels by 6."""
    full = replace(FULL, resize=resize, crop_share=0.9, interpolation="bicubic")
    assert difference(jpeg(1001, 603, orientation), full, replace(full, draft=True)) <= 2


def test_kinds_of_jpeg():
    grey = replace(FULL, channels=1, mean=(0.5,), std=(0.2,), padding=(0.5,))
    assert difference(jpeg(1200, 800, 6, progressive=True), FULL, DRAFTED) <= 2
    assert difference(jpeg(1200, 800, 6), grey, replace(grey, draft=True)) <= 2
    album = jpeg(1200, 800, kind="MPO", save_all=True, append_images=[Image.new("RGB", (1200, 800))])
    assert difference(album, FULL, DRAFTED) <= 2


@pytest.mark.parametrize(
    ("size", "spec"),
    [
        ((700, 700), DRAFTED),  # a small file
        ((1200, 800), FULL),
        ((1200, 800), replace(DRAFTED, interpolation="nearest")),
        ((1200, 800), replace(DRAFTED, interpolation="box")),
        ((1200, 800), replace(DRAFTED, height=150)),  # 800 / 2 is less than 2.9 × 150
    ],
)
def test_what_is_decoded_in_full(size, spec):
    data = jpeg(*size)
    picture = read_image(data, draft_for=spec)
    assert DRAFT not in picture.info
    assert np.array_equal(picture, read_image(data))


def test_the_eighth_is_the_smallest_fraction():
    assert read_image(jpeg(1200, 801), draft_for=replace(DRAFTED, height=2, width=2)).size == (150, 101)


def test_of_a_very_long_picture_the_middle_is_seen():
    long = replace(DRAFTED, height=4, width=4, resize="crop")
    assert Preparation.of(long, (45, 20_001)).scaled[1] > 400
    assert difference(jpeg(20_001, 45, 3), replace(long, draft=False), long) <= 2


def test_a_truncated_file_is_refused():
    data = jpeg(1200, 800)
    with pytest.raises(Exception, match="damaged or cut off"):
        read_image(data[: len(data) // 2], "a.jpg", draft_for=DRAFTED)


def test_all_ways_to_a_model_are_the_same_and_pictures_are_shown_in_full(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(1202, 805, 6))
    source, _ = loose_images(str(path), ["cat", "dog"])
    expected = ImageDataset(source, DRAFTED)[0].images[0]
    assert not expected.equal(ImageDataset(source, FULL)[0].images[0])
    with path.open("rb") as stream:
        inputs = [as_tensor(one, DRAFTED) for one in (path, path.read_bytes(), stream)]
    unseen = as_tensor(path, DRAFTED, shown=False)
    inputs.append(source_input(source, 0, DRAFTED))
    for one in (*inputs, unseen):
        assert one.tensor.equal(expected)
        assert one.preparation == Preparation.of(DRAFTED, (1202, 805))
    shown = as_tensor(path, FULL).original
    assert shown.shape == (1200, 804, 3)
    assert all(np.array_equal(one.original, shown) for one in inputs)
    assert unseen.original is None


def folder_of(tmp_path, **files: bytes):
    for name, data in files.items():
        path = tmp_path / "data" / "abc"[len(name) % 3] / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(tmp_path / "data")


def test_files_are_checked_at_an_eighth(tmp_path, monkeypatch):
    decoded = []
    read = file_source.read_image
    monkeypatch.setattr(file_source, "read_image", lambda *given: decoded.append(read(*given)) or decoded[-1])
    data = folder_of(tmp_path, a=jpeg(1203, 801), b2=jpeg(801, 1203, 6), a333=jpeg(1203, 801))
    splits = open_data(data, val_fraction=0.4)
    assert {image.size for image in decoded} == {(151, 101)}
    assert splits.train.array is None  # of these sizes, but not in full
    shapes = np.concatenate([splits.train.shapes, splits.val.shapes])
    assert (shapes == (801, 1203, 3)).all()


def test_a_truncated_file_is_found_when_data_is_opened(tmp_path):
    whole = jpeg(1200, 800)
    data = folder_of(tmp_path, a=whole, b2=whole[: 9 * len(whole) // 10])
    with pytest.raises(UserError, match=r"b2\.jpg: damaged or cut off"):
        open_data(data)


def test_only_pictures_of_a_single_colour_are_said_to_have_one(tmp_path):
    """A dot of one pixel is not seen at an eighth."""
    buffers = {}
    for name, dot in (("plain", 128), ("dotted", 150)):
        picture = Image.new("L", (1200, 800), 128)
        picture.putpixel((601, 401), dot)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=100)
        buffers[name] = buffer.getvalue()
    assert read_image(buffers["dotted"], draft_for=SMALLEST).getextrema() == (128, 128)
    [note] = [note for note in open_data(folder_of(tmp_path, **buffers)).notes if "colour" in note]
    assert "plain.jpg" in note
    assert "dotted.jpg" not in note
