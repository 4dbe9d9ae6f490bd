"""DICOM and HEIC, PNG files with damaged notes, and files that are named for what they are."""

from __future__ import annotations

import builtins
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from made_images import encoded, fill, noise, png, refusal
from resemblance.data import open_data, read_image
from resemblance.data.formats.png_chunks import essential_png
from resemblance.data.images import VALUES


def dicom(values, **tags):
    """Write a DICOM file of grey values or colours."""
    pydicom = pytest.importorskip("pydicom")
    values = np.asarray(values)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.SOPClassUID, dataset.Modality = pydicom.uid.SecondaryCaptureImageStorage, "CT"
    dataset.Rows, dataset.Columns = values.shape[-2:] if values.shape[-1] != 3 else values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.shape[-1] == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if dataset.SamplesPerPixel == 3 else "MONOCHROME2"
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def read(data, window=None):
    return np.asarray(read_image(data, "scan.dcm", window))


HU = np.array([[-1024, -160, 40, 240, 3071, 0]], "i2")
RESCALED = (HU.astype(int) + 1024).astype("u2")


def test_dicom_is_rescaled_and_read_by_the_window_given():
    for data in (dicom(HU), dicom(RESCALED, RescaleSlope="1", RescaleIntercept="-1024")):
        assert read(data, (-160, 240)).tolist() == [[0, 0, 127, 255, 255, 102]]


def test_dicom_is_read_by_its_own_window():
    data = dicom(HU, WindowCenter=["40.5", "300"], WindowWidth=["401", "1500"])
    image = read_image(data, "scan.dcm")
    assert np.asarray(image).tolist() == [[0, 0, 127, 255, 255, 102]]
    assert image.info[VALUES] == (-1024, 3071, -160, 240, True)


def test_dicom_without_a_window_is_read_by_its_bits():
    data = dicom(RESCALED, RescaleSlope="1", RescaleIntercept="-1024", BitsStored=12, HighBit=11)
    assert read(data).tolist() == [[0, 54, 66, 79, 255, 64]]


def test_monochrome1_is_inverted():
    plain = dicom(HU, WindowCenter="40.5", WindowWidth="401")
    inverted = dicom(HU, WindowCenter="40.5", WindowWidth="401", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(inverted), 255 - read(plain))


def test_dicom_in_colour():
    pixels = np.asarray(noise(0))
    np.testing.assert_array_equal(read(dicom(pixels)), pixels)


def test_dicom_of_several_frames_is_named():
    data = dicom(np.zeros((3, 4, 5), "u2"), NumberOfFrames="3")
    assert "a DICOM file of 3 frames" in refusal(read, data)


def test_dicom_without_a_picture_is_named():
    pytest.importorskip("pydicom")
    assert "a DICOM file without a picture" in refusal(read, bytes(128) + b"DICM" + bytes(400))


def test_damaged_dicom_is_refused_in_a_line():
    data = dicom(HU)
    for end in range(140, len(data) - 1, 29):
        assert refusal(read, data[:end]).startswith("scan.dcm: ")


def test_images_with_windows_of_their_own_are_noted(tmp_path):
    fill(tmp_path, {"a": 0, "b": 0})
    for number in range(4):
        for name in "ab":
            data = dicom(HU + number, WindowCenter=str(40 + 100 * number), WindowWidth="400")
            (tmp_path / name / f"{number}").write_bytes(data)  # scanners write no suffix
    notes = open_data(str(tmp_path)).notes
    assert any("8 DICOM images are read with 4 windows of their files" in note for note in notes)
    assert not any("windows" in note for note in open_data(str(tmp_path), window=(-160, 240)).notes)


@pytest.mark.parametrize(
    ("package", "data", "words"),
    [
        ("pydicom", bytes(128) + b"DICM" + bytes(400), "a DICOM file; pip install 'resemblance[dicom]'"),
        (
            "pillow_heif",
            b"\0\0\0\x18ftypheic" + bytes(400),
            "a HEIC photograph; pip install 'resemblance[heic]'",
        ),
    ],
)
def test_without_the_extra_the_message_names_it(package, data, words, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert words in refusal(read_image, data, "a")


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    colours = Image.new("RGB", (64, 32), (200, 30, 40))
    pillow_heif.from_pillow(colours).save(buffer, quality=95)
    pixels = np.asarray(read_image(buffer.getvalue(), "a.heic"))
    np.testing.assert_allclose(pixels.astype(int), np.asarray(colours).astype(int), atol=6)
    assert "HEIC photograph, but damaged" in refusal(read_image, buffer.getvalue()[:60], "a.heic")


def chunk(kind, data, crc=None):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc or zlib.crc32(kind + data))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(20_000_000))),
        chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(bytes(80_000_000))),
        chunk(b"iCCP", b"sRGB\0\7rubbish"),
        chunk(b"iCCP", b"no end"),
        chunk(b"tEXt", b"damaged", crc=7),
        chunk(b"pHYs", b"\0"),
        chunk(b"cHRM", b"\0\1"),
        chunk(b"gAMA", b"\0"),
    ],
    ids=[
        "long text",
        "long XMP",
        "long profile",
        "unknown profile",
        "broken profile",
        "sum",
        "size",
        "chrm",
        "gamma",
    ],
)
def test_png_files_are_not_refused_for_what_is_beside_the_picture(extra):
    data = png(3)
    strange = data[:33] + extra + data[33:]
    np.testing.assert_array_equal(read(strange), read(data))


def test_the_orientation_of_a_png_file_with_a_broken_profile_counts():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(0, (8, 4)), exif=exif)
    assert read(data[:33] + chunk(b"iCCP", b"no end") + data[33:]).shape == read(data).shape == (8, 4, 3)


def test_texts_of_usual_length_change_nothing():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 100)
    data = encoded(noise(0), pnginfo=info)
    assert read(data).shape == (8, 8, 3)
    assert b"Comment" not in essential_png(data)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP"])
def test_broken_colour_profiles_are_ignored(kind):
    data = encoded(noise(0), kind, icc_profile=b"rubbish" * 100)
    assert read(data).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x93NUMPY\1\0", "a NumPy array"),
        (bytes(344) + b"n+1\0", "a NIfTI volume"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
    ],
)
def test_other_files_are_named(data, words):
    assert words in refusal(read, data)
