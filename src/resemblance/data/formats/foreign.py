"""Name files that are no images, or images of kinds that need another package, by their first bytes."""

from __future__ import annotations

HEAD = 512  # bytes that are looked at
HEIC_BRANDS = b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"
INSTALL_HEIC = "pip install 'resemblance[heic]'"

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS instead of the file; run: git lfs pull"),
    (b"<!doctype html", "a web page; the download failed, perhaps"),
    (b"<html", "a web page; the download failed, perhaps"),
    (b"<svg", "an SVG drawing; save it as PNG"),
    (b"%pdf", "a PDF document; save its pages as PNG"),
    (b"\x93numpy", "a NumPy array; save it as PNG or TIFF"),
    (b"\x89hdf", "an HDF5 file; save its images as PNG or TIFF"),
    (b"matlab", "a MATLAB file; save its images as PNG or TIFF"),
    (b"8bps", "a Photoshop file; save it as PNG or TIFF"),
    (b"\x1aE\xdf\xa3".lower(), "a film; save its frames as PNG"),
    (b"pk\x03\x04", "a zip archive; unpack it"),
    (b"\x1f\x8b", "compressed by gzip (a NIfTI volume, perhaps); save its slices as PNG or TIFF"),
)


def is_heic(head: bytes) -> bool:
    """Check the first bytes of a file for a HEIC or HEIF picture."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


def what_it_is(head: bytes) -> str:
    """Describe a file that cannot be read as an image; empty if its kind is unknown.

    Example:
        >>> what_it_is(b"%PDF-1.7")
        'a PDF document; save its pages as PNG'
    """
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<?xml") and b"<svg" in start:
        return "an SVG drawing; save it as PNG"
    if head[344:348] in (b"n+1\0", b"ni1\0"):
        return "a NIfTI volume; save its slices as PNG or TIFF"
    if head[4:8] == b"ftyp":
        return "a film; save its frames as PNG"
    return next((words for beginning, words in _BEGINNINGS if start.startswith(beginning)), "")
