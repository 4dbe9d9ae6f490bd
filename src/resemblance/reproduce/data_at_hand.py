"""Where the data sets of the experiments are on this machine: named one by one, or in one folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.config.values import near

VARIABLE = "RESEMBLANCE_DATA"
DIGITS = "digits"
# Data set → what it is, for the list; the names of its folder or file in a folder of data sets; how commands name it.
KNOWN: dict[str, tuple[str, tuple[str, ...], str]] = {
    DIGITS: ("the embedded digits", (), "digits"),
    "mnist": ("MNIST, the IDX files", ("mnist", "MNIST/raw"), "mnist:{}"),
    "fashion-mnist": (
        "Fashion-MNIST, the IDX files",
        ("fashion-mnist", "FashionMNIST/raw"),
        "fashion-mnist:{}",
    ),
    "cifar10": ("CIFAR-10", ("cifar10", "cifar-10-batches-bin"), "cifar10:{}"),
    "pets": ("Oxford-IIIT pets, three breeds", ("oxford-pets-three/images.zip", "pets"), "{}"),
    "cub": ("CUB-200-2011", ("CUB_200_2011", "cub"), "cub:{}"),
    "cub-cropped": ("CUB-200-2011, cut to the boxes", ("CUB_200_2011", "cub"), "cub-cropped:{}"),
    "cub-corners": ("CUB-200-2011, five views", ("CUB_200_2011", "cub"), "cub-corners:{}"),
    "cars": ("Stanford Cars", ("stanford_cars", "stanford-cars", "cars"), "cars:{}"),
    "cars-cropped": (
        "Stanford Cars, cut to the boxes",
        ("stanford_cars", "stanford-cars", "cars"),
        "cars-cropped:{}",
    ),
    "rendered-cars": ("rendered cars, 11 angles", ("rendered-cars",), "rendered-cars:{}"),
    "svhn": ("SVHN, cropped digits", ("svhn", "SVHN"), "svhn:{}"),
    "stl10": ("STL-10", ("stl10", "stl10_binary"), "stl10:{}"),
    "quickdraw": ("QuickDraw, ten classes", ("quickdraw",), "quickdraw:{}"),
    "celeba": ("CelebA, Male", ("celeba", "CelebA"), "celeba:{}"),
    "inat-resnet50": (
        "ResNet-50 trained on iNaturalist 2017, a file",
        ("inat-resnet50.pth", "BBN.iNaturalist2017.res50.180epoch.best_model.pth"),
        "{}",
    ),
}


def data_at_hand(named: Sequence[str] = (), known: Iterable[str] = KNOWN) -> dict[str, str]:
    """Return how commands name each data set that is here.

    Args:
        named: ``NAME:PATH`` for a data set, or a folder that holds data sets under their usual names. Without any, the
            folder that the variable RESEMBLANCE_DATA names.
        known: names of data sets.

    Raises:
        UserError: for an unknown name, or a path that does not exist.

    Example:
        >>> data_at_hand(["mnist:/nowhere"])
        Traceback (most recent call last):
        resemblance.config.errors.UserError: --data mnist:/nowhere: there is no file or folder /nowhere
    """
    found, known = {DIGITS: DIGITS}, dict.fromkeys([*KNOWN, *known])
    words = list(named) or [folder for folder in (os.environ.get(VARIABLE, ""),) if os.path.isdir(folder)]
    for word in words:
        name, colon, path = word.partition(":")
        if os.path.isdir(os.path.expanduser(word)):
            found |= _in_folder(Path(word).expanduser()) if not colon or name not in KNOWN else {}
        elif not colon:
            raise UserError(f"--data {word}: expected NAME:PATH, or a folder of data sets")
        elif name not in known or name == DIGITS:
            hint = near(name, list(known)) or f"; they read {', '.join(known)}"
            raise UserError(f"--data {word}: no experiment reads {name!r}{hint}")
        elif not os.path.exists(os.path.expanduser(path)):
            raise UserError(f"--data {word}: there is no file or folder {path}")
        else:
            found[name] = _spec(name, Path(path).expanduser())
    return found


def describe_data(name: str) -> str:
    """Return what a data set is, in words; its name if it is not known.

    Example:
        >>> describe_data("cub"), describe_data("mine")
        ('CUB-200-2011', 'mine')
    """
    return KNOWN[name][0] if name in KNOWN else name


def _in_folder(folder: Path) -> dict[str, str]:
    found = {}
    for name, (_, places, _) in KNOWN.items():
        for place in places:
            if (folder / place).exists():
                found[name] = _spec(name, folder / place)
                break
    return found


def _spec(name: str, path: Path) -> str:
    form = KNOWN[name][2] if name in KNOWN else "{}"
    return form.format(path.resolve())
