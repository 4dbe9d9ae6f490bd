"""The MD5 sums of published files, by which damaged files and other versions are noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.data.text import listed, one_line, reason

ARCHIVES = (".tgz", ".tar.gz", ".tar", ".zip", ".7z", ".gz")
# Of the published files, as torchvision (SVHN, STL-10, CelebA; Stanford Cars up to its version 0.15) and many
# repositories' loaders of CUB-200-2011 state them.
MD5 = {
    "CUB_200_2011.tgz": "97eceeb196236b17998738112f37df78",
    "car_devkit.tgz": "c3b158d763b6e2245038c8ad08e45376",
    "cars_train.tgz": "065e5b463ae28d29e77c1b4b166cfe61",
    "cars_test.tgz": "4ce7ebf6a94d07f1952d94dd34c4d501",
    "cars_test_annos_withlabels.mat": "b0a2b23655a3edd16d84508592a98d10",
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    "stl10_binary.tar.gz": "91f7769df0f17e558f3565bffb0c7dfb",
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "5a34089d4802c674881badbb80307741",
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    "img_align_celeba.zip": "00d2c5bc6d35e252742224ab0c1e8fcb",
    "list_attr_celeba.txt": "75e246fa4810816ffd6ee81facbd244c",
    "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
}


def on_archives(folder: Path, names: Sequence[str], title: str) -> str:
    """Say that archives have to be unpacked, and which are damaged; or that a file is not a folder."""
    archives = [name for name in names if name.lower().endswith(ARCHIVES)]
    if not archives:
        return f"{title}:DIR needs the folder with {title}'s files; {one_line(folder / names[0])} is a file"
    verb = "is an archive" if len(archives) == 1 else "are archives"
    damaged = [name for name in archives if name in MD5 and _md5(folder / name) != MD5[name]]
    doubt = f"; the MD5 sum of {listed(damaged)} is not the published one, get it again" if damaged else ""
    shown = listed([str(folder / name) for name in archives], 3)
    return f"{shown} {verb}; unpack, and give the folder with the files of {title}{doubt}"


def notes_on_checksums(paths: Iterable[Path]) -> list[str]:
    """Return a note on the files that differ from the published ones; those whose checksum is unknown are left out."""
    others = [path.name for path in paths if path.name in MD5 and _md5(path) != MD5[path.name]]
    if not others:
        return []
    verb = "is not the published file" if len(others) == 1 else "are not the published files"
    return [f"{listed(others)} {verb} (by the MD5 sum): damaged, shortened, or another version"]


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise UserError(f"{one_line(path)}: {reason(error)}") from None
