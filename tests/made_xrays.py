"""Made chest X-rays of two classes, as a hospital exports them, and a network that somebody trained on them.

    python tests/made_xrays.py FOLDER [--dicom]

writes ``FOLDER/images/`` (16-bit PNG files with 12-bit values, or DICOM), ``FOLDER/labels.csv`` (file, patient and
finding) and ``FOLDER/resnet18.pth``: the state dict of torchvision's ResNet-18 with dropout and one logit, trained with
a centre crop. The guide for the practitioner and its test begin with these files.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18
from torchvision.transforms.v2 import functional as vision

FINDINGS = ("normal", "opacity")
PER_PATIENT = 3
WHITE = 4095  # the largest value of 12 bits
SIDE, SHARE = 64, 0.875  # pixels that the network reads, and their share of the scaled image
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, of three equal channels


def made_xray(seed: int, opacity: bool) -> np.ndarray:
    """A chest (H, W) uint16: two dark lungs, ribs, noise, and in one lung perhaps a bright spot."""
    random = np.random.default_rng(seed)
    height, width = 150 + int(random.integers(0, 21)), 130 + int(random.integers(0, 21))
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    chest = 0.62 + 0.05 * random.standard_normal() + 0.1 * (y - 0.5)
    shift = 0.02 * random.standard_normal(2)
    lungs = np.zeros((height, width))
    for side in (0.31, 0.69):
        distance = ((x - side - shift[0]) / 0.15) ** 2 + ((y - 0.48 - shift[1]) / 0.31) ** 2
        lungs = np.maximum(lungs, 1 / (1 + np.exp(12 * (distance - 1))))
    image = chest - 0.38 * lungs + 0.03 * lungs * np.sin(40 * y + 3 * np.abs(x - 0.5))
    if opacity:
        side = random.choice([0.31, 0.69])
        centre = side + 0.05 * random.standard_normal(), 0.5 + 0.1 * random.standard_normal()
        spread = random.uniform(0.045, 0.08)
        image += 0.3 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * spread**2))
    image += 0.02 * random.standard_normal(image.shape)
    return (image.clip(0, 1) * WHITE).round().astype(np.uint16)


def write_dicom(path: Path, pixels: np.ndarray, patient: str) -> None:
    """Write a DICOM file of a digital radiograph."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.stem])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.PatientID, image.Modality = patient, "DX"
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = pixels.tobytes()
    image.save_as(path, enforce_file_format=True)


def write_images(folder: Path, patients: int, dicom: bool = False) -> list[tuple[Path, int]]:
    """Write the images and ``labels.csv``, and return the files with their classes; all images of a patient agree."""
    images = folder / "images"
    images.mkdir(parents=True)
    rows, files = [], []
    for patient in range(patients):
        finding = patient % 2
        for number in range(PER_PATIENT):
            seed = patient * PER_PATIENT + number
            path = images / f"{10_000 + seed}.{'dcm' if dicom else 'png'}"
            pixels, name = made_xray(seed, bool(finding)), f"P{patient:04d}"
            if dicom:
                write_dicom(path, pixels, name)
            else:
                Image.fromarray(pixels).save(path)
            rows.append((path.name, name, FINDINGS[finding]))
            files.append((path, finding))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "patient", "finding"), *rows])
    return files


def as_input(pixels: np.ndarray) -> Tensor:
    """Prepare an image as she did for training: scaled by its shorter side, the middle cut out, normalised."""
    grey = Image.fromarray((pixels * (255 / WHITE)).round().astype(np.uint8))
    scaled = vision.resize(grey, [int(SIDE / SHARE)], antialias=True)
    cropped = vision.center_crop(scaled, [SIDE, SIDE]).convert("RGB")
    tensor = vision.to_dtype(vision.to_image(cropped), torch.float32, scale=True)
    return vision.normalize(tensor, list(MEAN), list(STD))


def her_network() -> nn.Module:
    """Torchvision's ResNet-18 with dropout and one logit, untrained."""
    network = resnet18()
    network.fc = nn.Sequential(nn.Dropout(0.2), nn.Linear(512, 1))
    return network


def trained_network(count: int = 400, epochs: int = 3) -> nn.Module:
    """Train the network on images of other patients than those of `write_images`."""
    torch.manual_seed(0)
    network, labels = her_network(), torch.arange(count) % 2
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.2  # there are few steps
    inputs = torch.stack([as_input(made_xray(10**6 + i, bool(label))) for i, label in enumerate(labels)])
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=epochs * -(-count // 20))
    for _ in range(epochs):
        for rows in torch.randperm(count).split(20):
            loss = F.binary_cross_entropy_with_logits(network(inputs[rows])[:, 0], labels[rows].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Write made X-rays, their labels and a network trained on such images."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--dicom", action="store_true", help="write DICOM files instead of PNG files")
    given = parser.parse_args()
    write_images(given.folder, given.patients, given.dicom)
    torch.save(trained_network().state_dict(), given.folder / "resnet18.pth")


if __name__ == "__main__":
    main()
