"""Images are listed by path, folder and batch; what is no image is left out of folders and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from made_images import refusal
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data.sources.image_list import is_one_image, list_images

SPEC = ImageSpec(8, 8, 1, (0.5,), (0.5,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in class folders and beside them, with what operating systems and people leave in folders."""
    for name in ("cat/a.png", "cat/old/b.PNG", "dog/a.jpg", "rest/c.png", "top.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), 90).save(path)
    for name in (
        "cat/Thumbs.db",
        ".DS_Store",
        "__MACOSX/cat/._a.png",
        "cat/.hidden.png",
        "notes.txt",
        "dog/a.nii",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image")
    (tmp_path / "dog" / "broken.png").write_bytes(b"no image")
    return tmp_path


def test_a_folder_is_read_with_its_subfolders_and_without_what_is_no_image(folder):
    listed = list_images(str(folder))
    names = [path.relative_to(folder).as_posix() for path in listed.images]
    assert names == ["cat/a.png", "cat/old/b.PNG", "dog/a.jpg", "dog/broken.png", "rest/c.png", "top.png"]
    hidden, others = listed.notes
    assert "4 hidden or system files left out" in hidden
    assert "2 files that are not images left out: dog/a.nii, notes.txt" in others
    assert listed.labels(("cat", "dog")) == ["cat", "cat", "dog", "dog", None, None]


def test_unreadable_images_of_folders_are_left_out_and_named_ones_are_not(folder):
    left_out: list[str] = []
    listed = list_images(folder)
    batches = list(listed.read(SPEC, 2, False, left_out))
    assert [[number for number, _ in batch] for batch in batches] == [[0, 1], [2], [4, 5]]
    assert len(left_out) == 1
    assert "broken.png" in left_out[0]
    named = list_images([folder / "top.png", folder / "dog" / "broken.png"])
    with pytest.raises(UserError, match=r"broken\.png"):
        list(named.read(SPEC, 2, False, []))
    assert [len(batch) for batch in named.read(SPEC, 2, True, [])] == [1]
    with pytest.raises(UserError, match=r"broken\.png"):
        list(listed.read(SPEC, 2, True, None))


def test_composed_and_decomposed_names_are_the_same_class(tmp_path):
    decomposed, composed = "Che\u0302ne", "Ch\u00eane"
    path = tmp_path / decomposed / "a.png"
    path.parent.mkdir()
    Image.new("L", (9, 9)).save(path)
    assert list_images(tmp_path).labels((composed, "other")) == [composed]


def test_batches_and_lists_are_several_images():
    assert len(list_images(torch.rand(3, 1, 8, 8))) == 3
    assert len(list_images(np.zeros((3, 8, 8, 1), np.uint8))) == 3
    assert len(list_images([torch.rand(1, 8, 8), Image.new("L", (3, 3))])) == 2
    assert is_one_image(torch.rand(1, 1, 8, 8))
    assert not is_one_image(torch.rand(2, 1, 8, 8))
    assert not is_one_image("/")


def test_folders_without_images_are_refused(tmp_path):
    assert "is a folder without images" in refusal(list_images, tmp_path)
    (tmp_path / "scan.nii").write_bytes(b"DICM")
    assert "but 1 file of other kinds: scan.nii" in refusal(list_images, tmp_path)
    assert "no such image" in refusal(list_images, tmp_path / "none")
