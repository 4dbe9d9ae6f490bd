"""Folders of images: every layout is read, or refused with one line."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from PIL import Image

from made_images import encoded, fill, noise, png, refusal
from resemblance.data import open_data, read_image
from resemblance.data.sources.file_source import FileSource
from resemblance.data.sources.files import _without
from resemblance.data.sources.tree import Folder


def opened(root, **options):
    return open_data(str(root), **options)


def names(source):
    return {source.name(index) for index in range(len(source))}


def test_class_folders(tmp_path):
    splits = opened(fill(tmp_path, {"dog": 20, "cat": 10}))
    assert splits.classes == ("cat", "dog")
    sizes = [np.bincount(part.labels).tolist() for part in (splits.train, splits.val, splits.test)]
    assert sizes == [[7, 14], [1, 2], [2, 4]]
    for part in (splits.train, splits.val, splits.test):
        for index in range(len(part)):
            path = tmp_path / part.name(index)
            assert path.parent.name == splits.classes[part.labels[index]]
            np.testing.assert_array_equal(np.asarray(part.read(index)), np.asarray(read_image(path)))
    assert names(splits.train) | names(splits.val) | names(splits.test) == set(Folder(tmp_path).names)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 30
    assert any("test images split off" in note for note in splits.notes)
    assert any("validation images split off" in note for note in splits.notes)


def test_the_same_seed_gives_the_same_split(tmp_path):
    fill(tmp_path, {"dog": 20, "cat": 10})
    first, again, other = opened(tmp_path, seed=1), opened(tmp_path, seed=1), opened(tmp_path, seed=2)
    assert names(first.train) == names(again.train) != names(other.train)


def test_train_val_and_test(tmp_path):
    counts = {"train/a": 4, "train/b": 3, "val/a": 1, "val/b": 2, "test/a": 2, "test/b": 1}
    splits = opened(fill(tmp_path, counts))
    assert [len(splits.train), len(splits.val), len(splits.test)] == [7, 3, 3]
    assert splits.notes == []
    assert names(splits.val) == {"val/a/0.png", "val/b/0.png", "val/b/1.png"}


def test_train_and_test_without_val(tmp_path):
    splits = opened(fill(tmp_path, {"Train/a": 10, "Train/b": 10, "TESTING/a": 2, "TESTING/b": 1}))
    assert [len(splits.train), len(splits.val), len(splits.test)] == [18, 2, 3]
    assert all(name.startswith("Train/") for name in names(splits.val))


def test_a_train_folder_alone_has_no_test_images(tmp_path):
    splits = opened(fill(tmp_path, {"train/a": 10, "train/b": 10}))
    assert [len(splits.train), len(splits.val), splits.test] == [18, 2, None]


def test_one_folder_around_everything(tmp_path):
    fill(tmp_path, {"pets/images/a": 5, "pets/images/b": 5})
    (tmp_path / "README.txt").write_text("hello")
    assert opened(tmp_path).classes == ("a", "b")


def test_splits_within_one_folder(tmp_path):
    splits = opened(fill(tmp_path, {"pets/train/a": 5, "pets/train/b": 5, "pets/test/a": 1}))
    assert [len(splits.val), len(splits.test)] == [2, 1]


def test_classes_called_test_and_train(tmp_path):
    splits = opened(fill(tmp_path, {"train": 5, "bus": 5, "test": 5}))
    assert splits.classes == ("bus", "test", "train")


def test_classes_called_test_and_train_within_splits(tmp_path):
    splits = opened(fill(tmp_path, {"train/train": 5, "train/test": 5, "test/train": 2, "test/test": 3}))
    assert splits.classes == ("test", "train")
    assert np.bincount(splits.test.labels).tolist() == [3, 2]


def test_splits_without_class_folders(tmp_path):
    message = refusal(opened, fill(tmp_path, {"train": 5, "test": 5}))
    assert "no class folders in test, train; expected" in message


def test_an_unlabelled_test_folder_is_left_out_and_named(tmp_path):
    splits = opened(fill(tmp_path, {"train/a": 5, "train/b": 5, "test": 5, "extra": 1}))
    assert splits.test is None
    assert "folders beside train left out: extra, test" in splits.notes


def test_class_folders_that_contain_splits(tmp_path):
    message = refusal(opened, fill(tmp_path, {"a/train": 5, "a/test": 5, "b/train": 5, "b/test": 1}))
    assert "class folder 'a' contains test, train; expected train/a" in message


def test_two_validation_folders(tmp_path):
    counts = {"train/a": 5, "train/b": 5, "val/a": 1, "valid/a": 1}
    assert "both 'val' and 'valid' could contain val images" in refusal(opened, fill(tmp_path, counts))


def test_no_train_folder(tmp_path):
    message = refusal(opened, fill(tmp_path, {"val/a": 1, "test/a": 1, "val/b": 1}))
    assert "found test, val but no train folder" in message


def test_a_class_in_test_that_is_not_in_train(tmp_path):
    counts = {"train/a": 3, "train/b": 3, "test/a": 1, "test/c": 1}
    assert "class folder 'c' is in test but not in train" in refusal(opened, fill(tmp_path, counts))


def test_no_class_folders(tmp_path):
    assert "no class folders; expected" in refusal(opened, tmp_path)
    (tmp_path / "a.png").write_bytes(png())
    assert "1 file but no class folders" in refusal(opened, tmp_path)


def test_one_class(tmp_path):
    assert "expected two or more class folders, found only a" in refusal(opened, fill(tmp_path, {"a": 3}))


def test_images_beside_the_class_folders_are_named(tmp_path):
    fill(tmp_path, {"train/a": 5, "train/b": 5})
    (tmp_path / "train" / "stray.JPG").write_bytes(png())
    (tmp_path / "labels.csv").write_text("hello")
    assert "1 images outside the class folders left out: train/stray.JPG" in opened(tmp_path).notes


def test_images_deeper_in_a_class_folder(tmp_path):
    splits = opened(fill(tmp_path, {"a/x/y": 5, "a/z": 5, "b": 5}))
    assert splits.classes == ("a", "b")
    assert len(splits.train) + len(splits.val) + len(splits.test) == 15


def test_an_empty_class_folder(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5, "c": 0})
    (tmp_path / "c" / "Thumbs.db").write_bytes(b"?")
    assert "class folder 'c' contains no images" in refusal(opened, tmp_path)
    splits = opened(tmp_path, skip_bad_images=True)
    assert splits.classes == ("a", "b")
    assert "1 class without training images left out: c" in splits.notes


def test_classes_are_renumbered_in_all_splits(tmp_path):
    fill(tmp_path, {"train/a": 0, "train/b": 5, "train/c": 5, "test/a": 2, "test/c": 1, "test/b": 1})
    splits = opened(tmp_path, skip_bad_images=True)
    assert splits.classes == splits.test.classes == ("b", "c")
    named = [(splits.test.name(i), splits.test.classes[splits.test.labels[i]]) for i in range(2)]
    assert named == [("test/b/0.png", "b"), ("test/c/0.png", "c")]
    assert any("also their 2 images in the other splits" in note for note in splits.notes)


def test_too_few_classes_are_left(tmp_path):
    fill(tmp_path, {"a": 5, "b": 0})
    assert "fewer than two classes" in refusal(opened, tmp_path, skip_bad_images=True)


def test_empty_splits_are_ignored(tmp_path):
    splits = opened(fill(tmp_path, {"train/a": 10, "train/b": 10, "val/a": 0, "test/b": 0}))
    assert [len(splits.train), len(splits.val), splits.test] == [18, 2, None]
    assert "the val folder contains no images and is ignored" in splits.notes


@pytest.mark.parametrize(
    ("file", "data", "reason"),
    [
        ("notes.txt", b"hello", "not a readable image"),
        ("zero.png", b"", "empty file"),
        ("cut.jpg", encoded(noise(0, (64, 64)), "JPEG")[:1500], "damaged or cut off"),
        ("cut.png", png(0, (64, 64))[:5000], "damaged or cut off"),
        ("more.zip", b"PK\x05\x06" + b"\0" * 18, "not a readable image"),
    ],
)
def test_bad_images(tmp_path, file, data, reason):
    fill(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "b" / file).write_bytes(data)
    message = refusal(opened, tmp_path)
    assert f"b/{file}: {reason}" in message
    assert "--skip-bad-images" in message
    splits = opened(tmp_path, skip_bad_images=True)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 10
    (note,) = [note for note in splits.notes if "skipped" in note]
    assert note.startswith("1 image skipped: ")
    assert f"b/{file}: {reason}" in note


def test_many_bad_images_are_counted(tmp_path):
    fill(tmp_path, {"train/a": 5, "train/b": 5})
    for number in range(30):
        (tmp_path / "train" / "a" / f"{number}.txt").touch()
    assert "(29 more bad files)" in refusal(opened, tmp_path)
    notes = opened(tmp_path, skip_bad_images=True).notes
    assert notes[0].startswith("30 images skipped in train: ")
    assert notes[0].endswith(" and 10 more")


def test_junk_is_ignored(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5, ".git": 1, "__MACOSX/a": 1})
    for junk in ("a/.DS_Store", "a/Thumbs.db", "b/desktop.ini", "a/._0.png"):
        (tmp_path / junk).write_bytes(b"?")
    assert opened(tmp_path).classes == ("a", "b")


def test_strange_class_names(tmp_path):
    classes = ("<script>alert(1)</script".replace("/", ""), "Żółw ☃", "a b  c", "x'y\"z", "🐢")
    splits = opened(fill(tmp_path, dict.fromkeys(classes, 3)))
    assert splits.classes == tuple(sorted(classes))


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", os.fsdecode(b"\xff")])
def test_class_names_that_cannot_be_printed(tmp_path, name):
    assert "cannot be printed; rename it" in refusal(opened, fill(tmp_path, {name: 3, "b": 3}))


def test_file_names_that_cannot_be_printed(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a" / os.fsdecode(b"\xff\n.png")).write_bytes(png())
    splits = opened(tmp_path)
    everything = names(splits.train) | names(splits.val) | names(splits.test)
    assert r"a/\udcff\n.png" in everything
    (tmp_path / "a" / os.fsdecode(b"\xff\n.png")).write_bytes(b"?")
    assert r"a/\udcff\n.png: not a readable image" in refusal(opened, tmp_path)


def test_links(tmp_path):
    fill(tmp_path / "elsewhere", {"a": 5, "b": 5})
    (tmp_path / "data").mkdir()
    for name in "ab":
        (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere" / name)
    assert opened(tmp_path / "data").classes == ("a", "b")
    (tmp_path / "data" / "a" / "gone.png").symlink_to(tmp_path / "nothing")
    assert "gone.png: No such file" in refusal(opened, tmp_path / "data")


def test_a_folder_that_links_to_itself(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    for number in range(6):
        (tmp_path / "a" / f"loop{number}").symlink_to(tmp_path)
    assert "a link to a folder above it" in refusal(opened, tmp_path)


def test_pipes(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert "pipe.png: not a regular file" in refusal(opened, tmp_path)


def test_files_and_folders_without_permission(tmp_path, monkeypatch):
    fill(tmp_path, {"a": 5, "b": 5})

    def denied(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", denied)
        assert "0.png: Permission denied" in refusal(opened, tmp_path)
    monkeypatch.setattr("os.scandir", denied)
    assert "Permission denied" in refusal(opened, tmp_path)


def test_huge_files_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("resemblance.data.sources.tree.MAX_FILE", 1 << 20)
    fill(tmp_path, {"a": 5, "b": 5})
    with (tmp_path / "b" / "huge.png").open("wb") as file:
        file.truncate((1 << 20) + 1)
    assert "huge.png: over 1 MiB; refused" in refusal(opened, tmp_path)


def test_shapes_are_those_of_the_images(tmp_path):
    fill(tmp_path, {"train/a": 3, "train/b": 3})
    (tmp_path / "train" / "a" / "grey.png").write_bytes(png(0, (5, 9), 1))
    train = opened(tmp_path).train
    everything = {train.name(i): train.shapes[i].tolist() for i in range(len(train))}
    assert everything.pop("train/a/grey.png", [9, 5, 1]) == [9, 5, 1]
    assert set(map(tuple, everything.values())) == {(8, 8, 3)}


def test_16_bit_images_of_fewer_bits_are_noted(tmp_path):
    fill(tmp_path, {"a": 6, "b": 6})
    twelve = np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8)
    for name in ("a/dark.png", "b/dark.png"):
        (tmp_path / name).write_bytes(encoded(Image.fromarray(twelve)))
    notes = [note for note in opened(tmp_path).notes if "more than 8 bits" in note]
    assert len(notes) == 1
    assert "from 0 to 4,032 (a/dark.png) of 65,536" in notes[0]
    assert "only 16 of 256 shades: trained with --window 0,4032, a model sees all 256" in notes[0]
    (tmp_path / "b/bright.png").write_bytes(encoded(Image.fromarray(twelve * 16)))
    assert not any("more than 8 bits" in note for note in opened(tmp_path).notes)


def test_classes_that_a_split_lacks_are_noted(tmp_path):
    splits = opened(fill(tmp_path, {"train/a": 4, "train/b": 3, "val/a": 1, "test/a": 1, "test/b": 0}))
    assert splits.notes == ["no val images of b", "no test images of b"]


def test_one_image_per_class(tmp_path):
    splits = opened(fill(tmp_path, {"a": 1, "b": 1}))
    assert [len(splits.train), len(splits.val), len(splits.test)] == [2, 0, 0]
    assert all("no class has two images" in note for note in splits.notes)
    assert len(splits.notes) == 2


def test_splits_with_other_names_are_not_read_as_classes(tmp_path):
    counts = {"training_set/cat": 2, "training_set/dog": 2, "test_set/cat": 1, "test_set/dog": 1}
    message = refusal(opened, fill(tmp_path, counts))
    assert "test_set, training_set all contain the same folders, cat, dog" in message
    assert "call them train, val and test" in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names exist on Unix only")
def test_what_is_neither_a_file_nor_a_folder_is_named_as_such(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "pipe is neither a file nor a folder; data can be" in refusal(opened, tmp_path / "pipe")
    assert "link is a broken link; data can be" in refusal(opened, tmp_path / "link")
    assert "pipe is neither a file nor a folder" in refusal(open_data, f"mnist:{tmp_path / 'pipe'}")
    (tmp_path / "file").write_bytes(b"")
    assert "file is a file" in refusal(open_data, f"mnist:{tmp_path / 'file'}")


def test_many_empty_class_folders_are_left_out_in_linear_time(tmp_path):
    """With lists instead of sets, these took a minute."""
    before = tuple(f"class {number:05d}" for number in range(20_000))
    source = FileSource(Folder(fill(tmp_path, {"a": 1})), ["a/0.png"] * 4, [7, 7, 19_999, 19_999], before)
    empty = [name for number, name in enumerate(before) if number not in (7, 19_999)]
    notes: list[str] = []
    started = time.process_time()
    kept = _without({"train": source}, empty, "pets", notes)
    assert time.process_time() - started < 2
    assert kept["train"].classes == ("class 00007", "class 19999")
    assert kept["train"].labels.tolist() == [0, 0, 1, 1]
    assert notes[0].startswith("19998 classes without training images left out: class 00000, class 00001")
