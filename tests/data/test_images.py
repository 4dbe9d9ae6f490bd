"""Every kind of image file is read as 8-bit grey or RGB, upright, or refused with one clear line."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, features

from made_images import encoded, noise, png, refusal
from resemblance.config.errors import UserError
from resemblance.data import images
from resemblance.data.formats import levels
from resemblance.data.images import read_image

pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")  # pytest undoes the package's own filter
RAMP = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)


def read(data):
    image = read_image(data, "a.png")
    assert image.mode in ("L", "RGB")
    return np.asarray(image)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, depth, colour, rows, *more):
    """Write a PNG file by hand, of a kind that Pillow reads but does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    scanlines = b"".join(b"\0" + row for row in rows)
    body = (
        chunk(b"IHDR", header)
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(scanlines))
        + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM"])
def test_plain_grey(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = read(encoded(Image.fromarray(RAMP), kind, **options))
    np.testing.assert_array_equal(pixels if pixels.ndim == 2 else pixels[:, :, 0], RAMP)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_orientation(turn, kind):
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste("red", (0, 0, 16, 8))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[turn]) if turn > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    pixels = read(encoded(stored, kind, exif=exif))
    assert pixels.shape == (16, 32, 3)
    assert pixels[4, 8, 0] > 150
    assert pixels[12, 8, 0] < 100
    assert pixels[4, 24, 0] < 100


def test_unreadable_exif_is_ignored():
    pixels = read(
        encoded(Image.fromarray(RAMP), "JPEG", quality=100, exif=b"Exif\0\0II*\0\xff\xff\xff\xff rubbish")
    )
    np.testing.assert_allclose(pixels.astype(int), RAMP, atol=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled(kind):
    deep = RAMP.astype(np.uint16) * 257
    np.testing.assert_array_equal(read(encoded(Image.fromarray(deep), kind)), RAMP)


def test_16_bits_are_scaled_the_same_in_a_dark_picture():
    dark = np.full((4, 4), 255, dtype=np.uint16)
    assert (read(encoded(Image.fromarray(dark))) == 1).all()


def test_16_bits_big_endian_tiff_and_pgm():
    deep = RAMP.astype(np.uint16) * 257
    pgm = b"P5 8 8 65535\n" + deep.astype(">u2").tobytes()
    np.testing.assert_array_equal(read(pgm), RAMP)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(deep.astype(">u2")), "TIFF")), RAMP)


def test_16_bits_rotated_tiff():
    exif = Image.Exif()
    exif[0x0112] = 3
    deep = RAMP.astype(np.uint16) * 257
    np.testing.assert_array_equal(read(encoded(Image.fromarray(deep), "TIFF", exif=exif)), RAMP[::-1, ::-1])


def test_16_bits_rgb_and_grey_with_alpha():
    rows = [b"".join(struct.pack(">HHH", v * 257, 0, 65535) for v in row) for row in RAMP.tolist()]
    pixels = read(png_of(8, 8, 16, 2, rows))
    np.testing.assert_array_equal(pixels[:, :, 0], RAMP)
    assert (pixels[:, :, 2] == 255).all()
    rows = [b"".join(struct.pack(">HH", v * 257, 65535) for v in row) for row in RAMP.tolist()]
    np.testing.assert_array_equal(read(png_of(8, 8, 16, 4, rows))[:, :, 1], RAMP)


def test_16_bits_with_a_transparent_value():
    rows = [struct.pack(">HH", 0, 1000)]
    pixels = read(png_of(2, 1, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 0))))
    assert pixels.tolist() == [[255, 4]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_images_have_their_largest_value_in_info(kind):
    deep = RAMP.astype(np.uint16) * 16
    image = read_image(encoded(Image.fromarray(deep), kind), "a.png")
    assert image.info[images.VALUES] == (0, deep.max(), 0, 65535, False)
    assert images.VALUES not in read_image(png(), "a.png").info


def test_the_largest_value_of_16_bit_colours_ignores_alpha():
    rows = [b"".join(struct.pack(">HHHH", v, 5 * 257 + 9, 0, 65535) for v in row) for row in RAMP.tolist()]
    assert read_image(png_of(8, 8, 16, 6, rows), "a.png").info[images.VALUES].high == 5 * 257


def test_12_bit_tiff():
    entries = [
        (256, 3, 2),
        (257, 3, 1),
        (258, 3, 12),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (278, 3, 1),
        (279, 4, 3),
    ]
    start = 12
    fields = b"".join(
        struct.pack("<HHII", tag, kind, 1, 8 if tag == 273 else value) for tag, kind, value in entries
    )
    data = (
        b"II*\0"
        + struct.pack("<I", start)
        + b"\xff\xf8\x00\0"
        + struct.pack("<H", len(entries))
        + fields
        + b"\0" * 4
    )
    assert read(data).tolist() == [[255, 128]]


def test_floating_point_tiff():
    values = RAMP.astype(np.float32) / 255
    np.testing.assert_array_equal(read(encoded(Image.fromarray(values), "TIFF")), RAMP)
    assert "floating point pixels from 0 to 252, and nothing says" in refusal(
        read, encoded(Image.fromarray(values * 255), "TIFF")
    )
    values[0, 0] = np.nan
    assert "--window" in refusal(read, encoded(Image.fromarray(values), "TIFF"))


def test_deep_images_are_scaled_in_blocks_of_rows(monkeypatch):
    values = np.random.default_rng(0).random((40, 30), dtype=np.float32)
    data = encoded(Image.fromarray(values), "TIFF")
    whole = read(data)
    monkeypatch.setattr(levels, "BLOCK", 90)
    np.testing.assert_array_equal(read(data), whole)
    np.testing.assert_array_equal(whole, (values.astype(np.float64) * 255).round())


def test_32_bit_integers_are_refused():
    assert "signed 32-bit pixels" in refusal(read, encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit(kind):
    bits = RAMP > 100
    np.testing.assert_array_equal(read(encoded(Image.fromarray(bits), kind)), bits * np.uint8(255))


def test_two_bits():
    assert read(png_of(4, 1, 2, 0, [bytes([0b00011011])])).tolist() == [[0, 85, 170, 255]]


def test_palette():
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    expected = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 255, 0]]]
    assert read(encoded(image)).tolist() == expected
    assert read(encoded(image, "GIF")).tolist() == expected
    seen = read(encoded(image, transparency=bytes([255, 0, 128])))
    assert seen[0].tolist() == [[255, 0, 0], [255, 255, 255]]
    np.testing.assert_allclose(seen[1, 0].astype(int), [127, 127, 255], atol=1)
    assert read(encoded(image, "GIF", transparency=1))[0].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_alpha_shows_white():
    pixels = np.array([[[200, 100, 0, 255], [0, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    expected = [[[200, 100, 0], [255, 255, 255], [204, 204, 204]]]
    for kind in ("PNG", "TIFF"):
        assert read(encoded(Image.fromarray(pixels), kind)).tolist() == expected
    grey = Image.merge("LA", [Image.fromarray(pixels[:, :, 0]), Image.fromarray(pixels[:, :, 3])])
    assert read(encoded(grey)).tolist() == [[200, 255, 204]]


def test_one_transparent_colour():
    assert read(encoded(Image.fromarray(RAMP), transparency=0))[0, :2].tolist() == [255, 4]
    colour = Image.new("RGB", (2, 1), (1, 2, 3))
    colour.putpixel((1, 0), (9, 9, 9))
    assert read(encoded(colour, transparency=(1, 2, 3))).tolist() == [[[255, 255, 255], [9, 9, 9]]]


def test_cmyk_jpeg():
    colours = np.zeros((16, 16, 3), np.uint8)
    colours[:, :8] = [220, 30, 40]
    colours[:, 8:] = [250, 250, 250]
    data = encoded(Image.fromarray(colours).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data  # stored inverted, as Photoshop does
    np.testing.assert_allclose(read(data).astype(int), colours, atol=12)


def test_cmyk_tiff():
    colours = np.full((4, 4, 3), [220, 30, 40], np.uint8)
    assert (read(encoded(Image.fromarray(colours).convert("CMYK"), "TIFF")) == colours).all()


def test_lab_tiff():
    assert (read(encoded(Image.new("LAB", (4, 4), (255, 128, 128)), "TIFF")) >= 254).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_show_their_first_frame(kind):
    first, second = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    pixels = read(encoded(first, kind, save_all=True, append_images=[second]))
    np.testing.assert_allclose(pixels.astype(int), np.full((4, 4, 3), [255, 0, 0]), atol=2)


def test_bombs():
    bomb = png_of(40_000, 40_000, 8, 0, [])
    assert "decompression bomb" in refusal(read, bomb)
    below_pillows_limit = png_of(10_001, 10_000, 8, 0, [])
    assert "10001x10000 pixels are more than 100,000,000" in refusal(read, below_pillows_limit)
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000)))
    assert read(png_of(1, 1, 8, 0, [b"\7"], text)).tolist() == [[7]]  # the text is not unpacked


def test_pictures_at_the_limit_are_read_without_a_warning(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 64)
    assert read(png()).shape == (8, 8, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    images_warned(png())


def images_warned(data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        read(data)
    assert not caught


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"])
def test_truncated_files_are_refused_or_whole(kind):
    if kind == "JPEG2000" and not features.check("jpg_2000"):
        pytest.skip("Pillow without JPEG 2000")
    data = encoded(noise(0, (40, 40)), kind)
    whole = read(data)
    refused = 0
    for end in np.linspace(1, len(data) - 1, 40, dtype=int):
        try:
            np.testing.assert_array_equal(read(data[:end]), whole)
        except UserError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize(
    "data", [b"\0" * 2000, b"hello, world", b"%PDF-1.4", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P5 0 0 255\n"]
)
def test_files_that_are_not_images(data):
    assert refusal(read, data).startswith("a.png: ")


def test_nothing_is_printed_beside_the_refusal():
    """Pillow logs an error, which Python prints in a program without logging."""
    data = bytearray(encoded(noise(0, (8, 8)), "TIFF"))
    program = (
        "import sys; from resemblance.data.images import read_image, UserError\n"
        "try: read_image(sys.stdin.buffer.read())\n"
        "except UserError as error: print(error)"
    )
    # A tag: samples per pixel.
    struct.pack_into("<H", data, data.index(struct.pack("<HHI", 277, 3, 1)) + 8, 20000)
    ended = subprocess.run([sys.executable, "-c", program], input=bytes(data), capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"damaged" in ended.stdout or b"not a readable image" in ended.stdout


def test_empty_and_missing_files(tmp_path):
    (tmp_path / "empty.png").touch()
    assert refusal(read_image, tmp_path / "empty.png").endswith("empty.png: empty file")
    assert refusal(read_image, b"") == "image: empty file"
    assert "No such file" in refusal(read_image, str(tmp_path / "none.png"))
    assert "folder or device" in refusal(read_image, tmp_path)


def test_reading_does_not_wait_for_pipes(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "not an image file" in refusal(read_image, tmp_path / "pipe.png")


def test_names_are_printed_on_one_line(tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.png"
    path.write_bytes(b"?")
    assert r"two\nlines\x1b[31m.png" in refusal(read_image, path)


def test_open_files_and_paths_as_text(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(3))
    with path.open("rb") as file:
        opened = np.asarray(read_image(file))
    np.testing.assert_array_equal(opened, np.asarray(read_image(str(path))))
    np.testing.assert_array_equal(opened, np.asarray(read_image(io.BytesIO(png(3)))))
