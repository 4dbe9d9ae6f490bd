"""Galleries: writing and reading files, and refusing hostile ones."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.prototypes.gallery import INDEX, Gallery, GalleryItem, Picture


def noise(seed, height, width, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def make():
    shared, grey = Picture.from_pixels(noise(0, 32, 24)), Picture.from_pixels(noise(1, 32, 24, 1))
    return Gallery(
        [
            GalleryItem("training image", "cat/ä.png", (1, 2, 7, 9), shared),
            GalleryItem("training image", "cat/ä.png", None, shared),
            GalleryItem("decoded", "dog/2.png", None, shared, grey),
            GalleryItem(),
        ]
    )


def test_pictures():
    gallery = make()
    pixels = noise(0, 32, 24)
    assert np.array_equal(gallery[0].image, pixels)
    assert np.array_equal(gallery[0].picture, pixels[2:9, 1:7])
    assert np.array_equal(gallery[1].picture, pixels)
    assert np.array_equal(gallery[2].picture, noise(1, 32, 24, 1).repeat(3, axis=2))
    assert gallery[3].picture is None


def test_files_and_back():
    gallery = make()
    files = gallery.to_files()
    assert len(files) == 3  # the index, the shared picture, the decoded one
    again = Gallery.from_files(files)
    assert again == gallery
    assert again.to_files() == files
    assert np.array_equal(again[0].picture, gallery[0].picture)


def test_keep():
    gallery = make()
    assert gallery.keep([2, 0]) == Gallery([gallery[2], gallery[0]])


def test_small_pictures_are_kept_without_loss_and_large_ones_small():
    assert np.array_equal(Picture.from_pixels(noise(2, 128, 128)).pixels(), noise(2, 128, 128))
    smooth = np.tile(np.linspace(0, 255, 224).astype(np.uint8)[:, None, None], (1, 224, 3))
    picture = Picture.from_pixels(smooth)
    assert picture.suffix == ".jpg"
    assert np.abs(picture.pixels().astype(int) - smooth).max() <= 4


def damage(change):
    files = make().to_files()
    index = json.loads(files[INDEX])
    change(index["prototypes"])
    files[INDEX] = json.dumps(index).encode()
    return files


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries[0].update(kind="code"),
        lambda entries: entries[0].update(box=[0, 0, 0, 4]),
        lambda entries: entries[0].update(box=[-1, 0, 3, 4]),
        lambda entries: entries[0].update(box=[0, 0, 1e999, 4]),
        lambda entries: entries[0].update(box="0123"),
        lambda entries: entries[0].update(name=3),
        lambda entries: entries[0].update(source="images/7.png"),
        lambda entries: entries[0].update(source="../config.json"),
        lambda entries: entries[0].update(source=["images/0.png"]),
        lambda entries: entries[0].pop("decoding"),
        lambda entries: entries.append(None),
    ],
)
def test_damaged_indices_are_refused(change):
    with pytest.raises(UserError):
        Gallery.from_files(damage(change))


def test_control_characters_in_names_are_refused():
    files = damage(lambda entries: entries[1].update(name="a\x1b[2J.png"))
    message = r"m/index\.json: prototypes\[1\]\.name has the control character '\\x1b'"
    with pytest.raises(UserError, match=message):
        Gallery.from_files(files, "m/index.json")


def test_names_of_files_are_saved_as_they_are_printed():
    name = "a\n\udcff می\u200cخ.png"
    [item] = Gallery.from_files(Gallery([GalleryItem(name=name)]).to_files())
    assert item.name == r"a\n\udcff می" + "\u200cخ.png"


@pytest.mark.parametrize("index", [b"", b"[]", b"{}", b"\xff\xfe", b'{"prototypes": 3}', b"[" * 100_000])
def test_files_that_are_not_an_index_are_refused(index):
    with pytest.raises(UserError):
        Gallery.from_files({**make().to_files(), INDEX: index})
    with pytest.raises(UserError, match="missing"):
        Gallery.from_files({})


def test_damaged_pictures_are_refused_when_decoded():
    buffer = io.BytesIO()
    Image.fromarray(noise(0, 8, 8)).save(buffer, "BMP")
    whole = Picture.from_pixels(noise(0, 8, 8)).data
    huge = io.BytesIO()
    Image.new("1", (20_000, 1)).save(huge, "PNG")
    for data in (b"", b"GIF89a", buffer.getvalue(), whole[: len(whole) // 2], huge.getvalue()):
        with pytest.raises(UserError):
            Picture(data).pixels()


def test_a_notebook_shows_a_part_within_its_source():
    source = Picture.from_pixels(np.zeros((8, 16, 3), np.uint8))
    part = GalleryItem("training image", "cat/1.png", (4, 2, 8, 6), source)
    assert part.framed == (source, (0.25, 0.25, 0.25, 0.5))
    html = Gallery([part])._repr_html_()
    assert 'style="left:25%;top:25%;width:25%;height:50%"' in html
    assert base64.b64encode(source.data).decode() in html
    whole = Gallery([GalleryItem("training image", "cat/1.png", None, source)])._repr_html_()
    assert "left:" not in whole
    decoded = GalleryItem("decoded", "", None, source, Picture.from_pixels(np.ones((4, 4, 3), np.uint8)))
    assert decoded.framed == (decoded.decoding, None)
