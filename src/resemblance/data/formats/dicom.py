"""Read DICOM files with pydicom, which is imported only when there is one."""

from __future__ import annotations

import io
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resemblance.config.errors import UserError
from resemblance.data.formats.levels import ValueRange, Window, eight_bits, extremes
from resemblance.data.text import one_line

MAGIC, PREAMBLE = b"DICM", 128
INSTALL = "pip install 'resemblance[dicom]'"


class DicomImage(NamedTuple):
    """The picture of a DICOM file.

    Args:
        pixels: (H, W) or (H, W, 3) uint8.
        values: the range of its values after rescaling; None for colours.
    """

    pixels: NDArray[np.uint8]
    values: ValueRange | None


def is_dicom(head: bytes) -> bool:
    """Check the first bytes of a file."""
    return head[PREAMBLE : PREAMBLE + 4] == MAGIC


def read_dicom(data: bytes, name: str, window: Window | None, most: int) -> DicomImage:
    """Read the picture of a DICOM file.

    Grey values are rescaled by slope and intercept (to Hounsfield units in CT). Black and white are those of
    ``window``, else of the file's first window, else the ends of the range of its bits; MONOCHROME1 is inverted.

    Args:
        data: the file.
        name: its name in messages.
        window: the values of black and white.
        most: the largest number of pixels.

    Raises:
        UserError: without pydicom; for a file without a picture or with several frames; for damaged files and
            compressions that pydicom cannot read.
    """
    try:
        import pydicom
        from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
    except ImportError:
        raise UserError(f"{name}: a DICOM file; {INSTALL}, or save it as PNG") from None
    dataset = pydicom.dcmread(io.BytesIO(data))
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if "PixelData" not in dataset or not rows * columns:
        kind = re.sub(r"[^A-Za-z ]", "?", str(dataset.get("Modality") or "no modality"))[:16]
        raise UserError(f"{name}: a DICOM file without a picture ({kind}); leave it out")
    if rows * columns > most:
        raise UserError(f"{name}: {columns}x{rows} pixels are more than {most:,}; scale the image down")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UserError(
            f"{name}: a DICOM file of {frames} frames; save the frame that matters as an image of its own"
        )
    try:
        pixels = pixel_array(dataset)
    except Exception as error:
        syntax = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "an unknown compression")
        if isinstance(
            error, RuntimeError | NotImplementedError
        ):  # no decoder of this compression is installed
            raise UserError(
                f"{name}: a DICOM file compressed by {one_line(syntax, 60)}, which pydicom cannot read; install a "
                "decoder (pylibjpeg), or decompress it"
            ) from None
        raise
    photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim == 3:
        top = 255 if pixels.dtype.itemsize == 1 else 65535
        return DicomImage(eight_bits(pixels, top), None)
    values = np.asarray(apply_modality_lut(pixels, dataset))
    low, high = extremes(values)
    black, white, own = _window(dataset, window)
    scaled = eight_bits(values, white, black)
    scaled = 255 - scaled if photometric == "MONOCHROME1" else scaled
    return DicomImage(scaled, ValueRange(low, high, black, white, own))


def _window(dataset: Any, window: Window | None) -> tuple[float, float, bool]:
    """Return the values of black and white, and whether the file names them."""
    if window is not None:
        return (*window, False)
    center, width = _number(dataset.get("WindowCenter")), _number(dataset.get("WindowWidth"))
    if center is not None and width is not None and width > 1:
        # DICOM PS3.3 C.11.2.1.2: LINEAR spans width - 1 around center - 0.5, LINEAR_EXACT the width.
        if dataset.get("VOILUTFunction") == "LINEAR_EXACT":
            return center - width / 2, center + width / 2, True
        return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2, True
    bits = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 16)
    signed = bool(dataset.get("PixelRepresentation"))
    lowest, highest = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    slope, intercept = _number(dataset.get("RescaleSlope")), _number(dataset.get("RescaleIntercept"))
    slope, intercept = slope or 1.0, intercept or 0.0
    ends = sorted((lowest * slope + intercept, highest * slope + intercept))
    return ends[0], ends[1], False


def _number(value: Any) -> float | None:
    """Return the first number of an element that can have several; None for none, or for damaged ones."""
    try:
        if isinstance(value, str | bytes) or value is None:
            return float(value) if value else None
        return float(value[0]) if hasattr(value, "__len__") else float(value)
    except (TypeError, ValueError, IndexError):
        return None
