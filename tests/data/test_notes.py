"""Notes on what lies in a folder of images: masks, copies, single colours, names in two forms and other encodings."""

from __future__ import annotations

import unicodedata
import zipfile

import pytest
from PIL import Image

from made_images import encoded, fill, png, refusal, zip_of
from resemblance.data import open_data
from resemblance.data.formats.zip_names import zip_names
from resemblance.data.sources.image_list import list_images
from resemblance.data.sources.loose import loose_images
from resemblance.data.sources.masks_beside import masks_beside


def images(splits):
    parts = [part for part in (splits.train, splits.val, splits.test) if part is not None]
    return {part.name(i) for part in parts for i in range(len(part))}


def notes(splits, word):
    return [note for note in splits.notes if word in note]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("benign (3).png", "benign (3)_mask.png"),
        ("benign (3).png", "benign (3)_mask_1.png"),
        ("a.jpg", "a_mask.png"),
        ("a.jpg", "a-mask.tif"),
        ("a.jpg", "a.mask.png"),
        ("a.jpg", "A_Segmentation.png"),
        ("a.jpg", "a_seg.png"),
        ("a.jpg", "a_gt.png"),
        ("a.jpg", "a_ground_truth.png"),
        ("a.jpg", "mask_a.png"),
        ("images/a.jpg", "masks/a.png"),
        ("images/a.jpg", "masks/a_mask.png"),
        ("a.jpg", "mask/a.png"),
        ("images/cat/a.jpg", "Segmentations/cat/a.png"),
    ],
)
def test_masks_are_known_by_their_images(image, mask):
    assert masks_beside([image, mask]) == {mask}
    assert masks_beside([mask]) == set()


def test_images_that_are_called_like_masks_are_images():
    names = [
        "mask_1.png",
        "mask_2.png",
        "unmask.png",
        "un.png",
        "a_maskless.png",
        "a.png",
        "gas_mask.png",
        "b_label.png",
    ]
    assert masks_beside([*names, "b.png"]) == set()


def test_masks_beside_images_are_left_out(tmp_path):
    fill(tmp_path, {"a": 6, "b": 6})
    for name in ("a/0_mask.png", "a/0_mask_1.png", "b/1-seg.png"):
        (tmp_path / name).write_bytes(encoded(Image.new("L", (8, 8))))
    splits = open_data(str(tmp_path))
    assert len(images(splits)) == 12
    assert notes(
        splits, "3 segmentation masks beside the images left out: a/0_mask.png, a/0_mask_1.png, b/1-seg.png"
    )
    listed = list_images(str(tmp_path))
    assert len(listed) == 12
    assert any("segmentation masks" in note for note in listed.notes)
    source, said = loose_images(str(tmp_path / "a"), ["a"])
    assert len(source) == 6
    assert any("segmentation masks" in note for note in said)


def test_a_folder_of_masks_alone_is_no_class(tmp_path):
    fill(tmp_path, {"images": 5, "masks": 5})
    assert "class folder 'masks' contains no images" in refusal(open_data, str(tmp_path))


def test_copies_are_counted(tmp_path):
    fill(tmp_path, {"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2, "val/a": 1, "val/b": 1})
    assert not notes(open_data(str(tmp_path)), "cop")
    data = (tmp_path / "train/a/0.png").read_bytes()
    for name in ("train/a/9.png", "train/b/9.png", "test/b/0.png"):
        (tmp_path / name).write_bytes(data)
    splits = open_data(str(tmp_path))
    assert notes(
        splits,
        "2 files are copies of others in train, 1 of them in another class: train/a/9.png = train/a/0.png",
    )
    assert notes(splits, "1 test image is a copy of training images (test/b/0.png)")


def test_copies_that_a_drawn_split_separates_are_counted(tmp_path):
    fill(tmp_path, {"a": 20, "b": 20})
    for name in ("a", "b"):
        for number in range(20):
            data = (tmp_path / f"{name}/{number}.png").read_bytes()
            (tmp_path / f"{name}/{number} copy.png").write_bytes(data)
    assert notes(open_data(str(tmp_path)), "test images are copies of training images")


def test_images_of_one_colour_are_counted(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "a/9.png").write_bytes(encoded(Image.new("RGB", (8, 8), "red")))
    (tmp_path / "b/9.png").write_bytes(encoded(Image.new("L", (8, 8), 9)))
    assert notes(open_data(str(tmp_path)), "2 images have one colour: a/9.png, b/9.png")


def test_pages_are_counted(tmp_path):
    fill(tmp_path, {"a": 5, "b": 5})
    first, second = Image.new("L", (8, 8), 1), Image.new("L", (8, 8), 2)
    (tmp_path / "a/9.tif").write_bytes(encoded(first, "TIFF", save_all=True, append_images=[second]))
    assert notes(
        open_data(str(tmp_path)), "1 file has several pages or frames, of which the first is read: a/9.tif"
    )


def test_classes_that_a_drawn_split_leaves_without_images_are_named(tmp_path):
    fill(tmp_path, {"a": 10, "b": 10, "c": 1})
    splits = open_data(str(tmp_path))
    for part in ("test", "validation"):
        assert notes(
            splits, f"the {part} images that were split off have none of c: these have only one image"
        )


def test_names_of_classes_in_two_forms_are_one_class(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Chêne") for form in ("NFC", "NFD"))
    fill(tmp_path, {f"train/{composed}": 4, "train/Orme": 4, f"val/{decomposed}": 2, "val/Orme": 1})
    splits = open_data(str(tmp_path))
    assert splits.classes == ("Chêne", "Orme")
    assert (splits.val.labels == [0, 0, 1]).all()
    assert notes(splits, "Chêne is one class, although the folders write the accents in two ways")
    alone = tmp_path / "alone"
    splits = open_data(str(fill(alone, {decomposed: 4, "Orme": 4})))
    assert splits.classes == ("Chêne", "Orme")
    assert not notes(splits, "accents")


def test_a_class_in_two_forms_within_a_split(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    splits = open_data(str(fill(tmp_path, {composed: 4, decomposed: 4, "z": 4})))
    assert splits.classes == ("z", "é")
    assert len(images(splits)) == 12


def old_zip(path, names, encoding):
    """Write an archive whose names are in an encoding that it does not say."""
    marks = {f"@{number:03d}".encode(): name.encode(encoding) for number, name in enumerate(names)}
    place = zip_of(
        path,
        {f"{mark.decode()}{'x' * (len(raw) - 4)}": png(n) for n, (mark, raw) in enumerate(marks.items())},
    )
    data = place.read_bytes()
    for mark, raw in marks.items():
        data = data.replace(mark + b"x" * (len(raw) - 4), raw)
    place.write_bytes(data)
    return place


@pytest.mark.parametrize(
    ("classes", "encoding", "guess"),
    [
        (("Chêne", "Ormeäü"), "cp437", ""),
        (("Chêne", "Eiche"), "utf-8", ""),
        (("いぬ", "ねこ"), "cp932", "Shift-JIS"),
        (("犬の写真", "猫の写真"), "cp932", "Shift-JIS"),
        (("狗的照片", "猫的照片"), "gb18030", "GBK"),
    ],
)
def test_names_of_archives_in_other_encodings(tmp_path, classes, encoding, guess):
    names = [f"{name}/{number}.png" for name in classes for number in range(5)]
    splits = open_data(str(old_zip(tmp_path / "a.zip", names, encoding)))
    assert set(splits.classes) == set(classes)
    assert images(splits) <= set(names)
    assert [note for note in splits.notes if "encoded" in note] == [
        note for note in splits.notes if guess and f"read as {guess}" in note
    ]


def test_names_with_the_flag_of_utf_8_are_taken_as_they_are(tmp_path):
    path = zip_of(tmp_path / "a.zip", {f"{name}/{n}.png": png(n) for name in ("犬", "é") for n in range(5)})
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    assert all(entry.flag_bits & 0x800 for entry in entries)
    assert zip_names(entries) == ([entry.filename for entry in entries], "")
