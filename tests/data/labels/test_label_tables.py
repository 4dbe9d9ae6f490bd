"""Classes, splits and groups from tables beside image files."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from made_images import fill, png, refusal, zip_of
from resemblance.data import open_data
from resemblance.data.labels.columns import find_columns
from resemblance.data.labels.find_tables import has_label_table
from resemblance.data.labels.label_table import read_table
from resemblance.data.sources.layout import EXPECTED


def write(root, names, start=0):
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(start + seed))


def flat(root, count=24, folder="", table="labels.csv", rows=None, header="file,class"):
    """Images in one folder, and a table: even numbers are cats."""
    root.mkdir(exist_ok=True)
    names = [f"{folder}{number}.png" for number in range(count)]
    write(root, names)
    lines = rows or [f"{number}.png,{'dog' if number % 2 else 'cat'}" for number in range(count)]
    (root / table).write_text("\n".join([header, *lines]) + "\n")
    return str(root)


def classes(splits):
    """The class of each image by name, over all splits."""
    parts = [part for part in (splits.train, splits.val, splits.test) if part is not None]
    return {part.name(i): part.classes[part.labels[i]] for part in parts for i in range(len(part))}


def parity(splits):
    return {name: "dog" if int(name.rpartition("/")[2][:-4]) % 2 else "cat" for name in classes(splits)}


@pytest.mark.parametrize("folder", ["", "images/", "train/", "a/b/"])
def test_the_only_table_beside_the_images_is_found(tmp_path, folder):
    splits = open_data(flat(tmp_path / "data", folder=folder))
    assert splits.classes == ("cat", "dog")
    assert len(classes(splits)) == 24
    assert classes(splits) == parity(splits)
    assert any("the classes are those of labels.csv" in note for note in splits.notes)
    assert splits.test is not None


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfimage;label\r\n0.png;cat\r\n1.png;dog\r\n",
        b"Image Index\tFinding Labels\tage\n0.png\tcat\t3\n1.png\tdog\t4\n",
        "image_id,dx\n0,cat\n1,dog\n".encode("utf-16"),
        b'sep=;\n"file_name";"label"\n"0";"cat"\n"1";"dog"\n',
        b"0.png,cat\n1.png,dog\n",
        b"images/0.png cat\nimages/1.png dog\n",
        b'{"file_name": "0.png", "label": "cat"}\n{"file_name": "1.png", "label": "dog"}\n',
        b"image,cat,dog\n0,1.0,0.0\n1,0.0,1.0\n",
        b"id,path,class\n7,C:\\\\data\\\\images\\\\0.png,cat\n8,C:\\\\data\\\\images\\\\1.png,dog\n",
    ],
    ids=["semicolons", "tabs", "utf-16", "excel", "no header", "list", "json", "one-hot", "foreign paths"],
)
def test_tables_of_every_kind(text):
    rows = read_table(text, "labels.csv").rows
    assert [row.label for row in rows] == ["cat", "dog"]
    assert [row.file.replace("\\", "/").rpartition("/")[2].removesuffix(".png") for row in rows] == ["0", "1"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (["file", "class", "split", "group"], (0, 1, 2, 3)),
        (["ID", "Patient ID", "Subset", "Diagnosis"], (0, 3, 2, 1)),
        (["lesion_id", "image_id", "dx", "age"], (1, 2, None, 0)),
        (["filename", "label", "label_name"], (0, 1, None, None)),
        (["a", "b"], (None, None, None, None)),
    ],
)
def test_columns_are_found_by_their_usual_names(header, expected):
    assert find_columns(header, [])[:4] == expected


def test_a_table_that_is_named_counts_even_where_there_are_class_folders(tmp_path):
    fill(tmp_path, {"x": 6, "y": 6})
    table = tmp_path / "other.csv"
    table.write_text("file,class\n" + "".join(f"{c}/{n}.png,{n % 3}\n" for c in "xy" for n in range(6)))
    table.rename(tmp_path / "other.txt")  # of this kind, none is found by itself
    table = tmp_path / "other.txt"
    assert open_data(str(tmp_path)).classes == ("x", "y")
    assert open_data(str(tmp_path), labels=table).classes == ("0", "1", "2")
    assert open_data(str(tmp_path), labels="none").classes == ("x", "y")
    assert open_data(str(tmp_path), labels="other.txt").classes == ("0", "1", "2")  # in the folder


def test_class_folders_count_if_the_table_says_the_same_or_little_else(tmp_path):
    fill(tmp_path, {"cat": 6, "dog": 6})
    table = tmp_path / "labels.csv"
    table.write_text(
        "file,label\n" + "".join(f"{c}/{n}.png,{c == 'dog'}\n" for c in ("cat", "dog") for n in range(6))
    )
    splits = open_data(str(tmp_path))
    assert splits.classes == ("cat", "dog")
    assert not any("labels.csv" in note for note in splits.notes)
    table.write_text(
        "file,label\n"
        + "".join(f"{c}/{n}.png,{'cat' if n else 'x'}\n" for c in ("cat", "dog") for n in range(6))
    )
    splits = open_data(str(tmp_path))
    assert splits.classes == ("cat", "dog")
    assert any("add --labels labels.csv" in note for note in splits.notes)


def test_folders_that_are_plainly_no_classes_give_way_to_the_table(tmp_path):
    write(tmp_path, [f"images_00{n % 2}/{n}.png" for n in range(12)])
    (tmp_path / "Data_Entry.csv").write_text(
        "Image Index,Finding Labels\n"
        + "".join(f"{n}.png,{'Mass' if n % 3 else 'Edema'}\n" for n in range(12))
    )
    splits = open_data(str(tmp_path))
    assert splits.classes == ("Edema", "Mass")
    assert "not the folders images_000, images_001; for these, add --labels none" in splits.notes[0]


def test_splits_of_the_table(tmp_path):
    parts = ["train", "train", "train", "Validation", "testing", "train"]
    rows = [f"{n}.png,{'dog' if n % 2 else 'cat'},{parts[n % 6]}" for n in range(24)]
    splits = open_data(flat(tmp_path / "data", rows=rows, header="file,class,split"))
    assert [len(splits.train), len(splits.val), len(splits.test)] == [16, 4, 4]
    assert all(int(splits.val.name(i)[:-4]) % 6 == 3 for i in range(4))


def test_unknown_splits(tmp_path):
    rows = [f"{n}.png,{'dog' if n % 2 else 'cat'},{'extra' if n > 19 else 'train'}" for n in range(24)]
    data = flat(tmp_path / "data", rows=rows, header="file,class,split")
    message = refusal(open_data, data)
    assert "4 images in splits of other names in the column split: extra (4)" in message
    splits = open_data(data, skip_bad_images=True)
    assert len(classes(splits)) == 20
    assert any("4 images in other splits left out: extra (4)" in note for note in splits.notes)


def test_folds_are_no_splits(tmp_path):
    rows = [f"{n}.png,{'dog' if n % 2 else 'cat'},{n % 5}" for n in range(24)]
    splits = open_data(flat(tmp_path / "data", rows=rows, header="file,class,fold"))
    assert any("the column fold names no splits" in note for note in splits.notes)
    assert len(classes(splits)) == 24


def test_missing_files_and_unlabelled_images_are_counted(tmp_path):
    rows = [f"{n}.png,{'dog' if n % 2 else 'cat'}" for n in range(4, 30)] + ["3.png,"]
    splits = open_data(flat(tmp_path / "data", rows=rows))
    assert len(classes(splits)) == 20
    notes = "\n".join(splits.notes)
    assert "labels.csv: 6 of 27 rows name no file that is there: 24.png, 25.png, 26.png and 3 more" in notes
    assert "labels.csv: 4 images without a class are left out: 0.png, 1.png, 2.png and 1 more" in notes


def test_contradicting_rows(tmp_path):
    rows = [f"{n}.png,{'dog' if n % 2 else 'cat'}" for n in range(24)]
    assert len(classes(open_data(flat(tmp_path / "same", rows=[*rows, *rows])))) == 24
    data = flat(tmp_path / "data", rows=[*rows, "0.png,dog"])
    assert "several rows with different classes, splits or groups for 1 image: 0.png" in refusal(
        open_data, data
    )
    assert len(classes(open_data(data, skip_bad_images=True))) == 23


def test_names_that_fit_several_files(tmp_path):
    write(tmp_path, [f"{folder}/{n}.png" for folder in ("p", "q/r") for n in range(6)])
    table = tmp_path / "t.csv"
    table.write_text("file,class\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(6)))
    assert "t.csv: 0.png could be p/0.png, q/r/0.png; name it with its folder" in refusal(
        open_data, str(tmp_path), labels=str(table)
    ).replace(f"{tmp_path}/", "")
    table.write_text("file,class\n" + "".join(f"r/{n}.png,{n % 2}\n" for n in range(6)))
    assert set(classes(open_data(str(tmp_path), labels=str(table)))) == {f"q/r/{n}.png" for n in range(6)}


def test_several_tables(tmp_path):
    data = flat(tmp_path / "data")
    (tmp_path / "data/sample_submission.csv").write_text("file,class\n0.png,cat\n1.png,cat\n")
    (tmp_path / "data/ages.csv").write_text("file,age\n0.png,3\n")
    assert len(classes(open_data(data))) == 24
    (tmp_path / "data/more.csv").write_text("file,class\n0.png,dog\n1.png,cat\n")
    assert "several tables name the images, labels.csv, more.csv; choose one with --labels" in refusal(
        open_data, data
    )
    assert len(classes(open_data(data, labels="labels.csv"))) == 24


@pytest.mark.parametrize("inside", [True, False])
def test_a_table_for_each_split(tmp_path, inside):
    for part, count in (("train", 12), ("test", 6)):
        write(tmp_path, [f"{part}/{n}.png" for n in range(count)], start=100 if part == "test" else 0)
        place, prefix = (f"{part}/metadata.csv", "") if inside else (f"{part}.csv", f"{part}/")
        lines = [f"{prefix}{n}.png,{n % 2}" for n in range(count)]
        (tmp_path / place).write_text("\n".join(["file_name,label", *lines]))
    splits = open_data(str(tmp_path))
    assert [len(splits.train) + len(splits.val), len(splits.test)] == [12, 6]


def test_classes_are_in_the_order_of_their_numbers(tmp_path):
    rows = [f"{n}.png,{n % 12}.0" for n in range(48)]
    assert open_data(flat(tmp_path / "data", 48, rows=rows)).classes == tuple(str(n) for n in range(12))


def test_columns_that_are_no_classes(tmp_path):
    data = flat(tmp_path / "data", 30, rows=[f"{n}.png,{n * 0.37:.3f}" for n in range(30)])
    assert "has 30 values for 30 images, too many for classes" in refusal(open_data, data)
    data = flat(tmp_path / "one", rows=[f"{n}.png,cat" for n in range(24)])
    assert "expected two or more classes in the column class of labels.csv, found cat" in refusal(
        open_data, data
    )


def test_another_column_can_be_named(tmp_path):
    data = flat(tmp_path / "data", rows=[f"{n}.png,x,{n % 2}" for n in range(24)], header="file,class,sex")
    assert open_data(data, labels="labels.csv:sex").classes == ("0", "1")
    assert "no column 'age'; its columns are file, class, sex" in refusal(
        open_data, data, labels="labels.csv:age"
    )


def test_several_classes_of_an_image(tmp_path):
    rows = [f"{n}.png,{('Edema', 'Mass', 'Edema|Mass')[n % 3]}" for n in range(24)]
    data = flat(tmp_path / "data", rows=rows)
    assert "8 images with several classes, for instance Edema|Mass" in refusal(open_data, data)
    assert open_data(data, skip_bad_images=True).classes == ("Edema", "Mass")


def test_tables_that_do_not_help_are_named(tmp_path):
    data = flat(tmp_path / "data", rows=["x.png,cat", "y.png,dog"])
    message = refusal(open_data, data)
    assert EXPECTED in message
    assert "labels.csv names none of the images: it has x.png, and an image is 0.png" in message
    data = flat(tmp_path / "ages", header="file,age")
    assert "labels.csv has no column of classes, only file, age" in refusal(open_data, data)
    assert "--labels none.csv: no such table" in refusal(open_data, data, labels="none.csv")
    (tmp_path / "ages/book.xlsx").write_bytes(b"PK\x03\x04")
    assert "a spreadsheet; save it as CSV" in refusal(
        open_data, data, labels=str(tmp_path / "ages/book.xlsx")
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0,\0\n\0",
        b"\xff\xfe\x00",
        b'{"file": \n',
        b'{"a": 1}\n[]',
        b'"' + b"x" * 200_000,
        b"\n\n,,\n",
    ],
)
def test_damaged_tables_are_refused_in_a_line(data, tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", ["0.png", "1.png"])
    (tmp_path / "labels.csv").write_bytes(data)
    assert refusal(open_data, str(tmp_path / "data"), labels=str(tmp_path / "labels.csv"))


def test_data_with_labels_of_its_own_takes_no_table():
    assert "has labels of its own; leave out --labels" in refusal(open_data, "digits", labels="labels.csv")


def test_a_table_in_an_archive(tmp_path):
    contents = {f"set/{n}.png": png(n) for n in range(12)}
    contents["set/labels.csv"] = ("id,label\n" + "".join(f"{n},{n % 2}\n" for n in range(12))).encode()
    assert open_data(str(zip_of(tmp_path / "set.zip", contents))).classes == ("0", "1")


def test_names_with_accents_match_in_both_forms(tmp_path):
    names = [unicodedata.normalize("NFD", f"chêne {n}.png") for n in range(12)]
    write(tmp_path, names)
    table = tmp_path / "labels.csv"
    forms = [unicodedata.normalize(("NFC", "NFD")[n % 2], "Chêne" if n % 3 else "Orme") for n in range(12)]
    table.write_text(
        "file,class\n" + "".join(f"chêne {n}.png,{forms[n]}\n" for n in range(12)), encoding="utf-8"
    )
    assert open_data(str(tmp_path)).classes == ("Chêne", "Orme")


def test_groups_stay_together_in_drawn_splits(tmp_path):
    rows = [f"{n}.png,{'dog' if n % 2 else 'cat'},p{n // 6}" for n in range(60)]
    data = flat(tmp_path / "data", 60, rows=rows, header="file,class,patient_id")
    for seed in range(3):
        splits = open_data(data, seed=seed)
        patients = [
            {int(p.name(i)[:-4]) // 6 for i in range(len(p))} for p in (splits.train, splits.val, splits.test)
        ]
        assert sum(map(len, patients)) == 10
        assert all(set(part.labels) == {0, 1} for part in (splits.train, splits.val, splits.test))
    assert any("images of one patient_id stay together" in note for note in splits.notes)
    assert any("whole groups, 20% of each class" in note for note in splits.notes)


def test_a_given_split_that_separates_groups_is_noted(tmp_path):
    rows = [
        f"{n}.png,{'dog' if n % 2 else 'cat'},{'test' if n % 4 == 3 else 'train'},p{n // 4}"
        for n in range(24)
    ]
    splits = open_data(flat(tmp_path / "data", rows=rows, header="file,class,split,patient"))
    assert any(
        "6 groups have images in several of train, test (6 images outside train): p0" in n
        for n in splits.notes
    )


def test_groups_for_class_folders(tmp_path):
    fill(tmp_path, {"cat": 12, "dog": 12})
    table = tmp_path / "cameras.csv"
    table.write_text(
        "file,camera\n" + "".join(f"{c}/{n}.png,{n // 3}\n" for c in ("cat", "dog") for n in range(12))
    )
    splits = open_data(str(tmp_path))
    assert any("add --labels cameras.csv" in note for note in splits.notes)
    splits = open_data(str(tmp_path), labels="cameras.csv")
    assert splits.classes == ("cat", "dog")
    cameras = [
        {int(p.name(i)[4:-4]) // 3 for i in range(len(p))} for p in (splits.train, splits.val, splits.test)
    ]
    assert sum(map(len, cameras)) == 4


def test_splits_for_class_folders(tmp_path):
    fill(tmp_path, {"cat": 6, "dog": 6})
    table = tmp_path / "splits.csv"
    table.write_text(
        "file,split\n"
        + "".join(f"{c}/{n}.png,{'test' if n > 3 else 'train'}\n" for c in ("cat", "dog") for n in range(6))
    )
    splits = open_data(str(tmp_path), labels=str(table))
    assert [len(splits.train) + len(splits.val), len(splits.test)] == [8, 4]


def test_matching_a_large_table_takes_no_time_per_pair():
    from resemblance.data.labels.file_names import FileNames

    files = [f"train/{n // 1000}/{n}.png" for n in range(50_000)]
    started = time.monotonic()
    names = FileNames(files)
    assert all(len(names.find(f"{n}.png")) == 1 for n in range(50_000))
    assert time.monotonic() - started < 5


def test_groups_in_numbers():
    from resemblance.data.sources.grouped_split import grouped_split

    generator = np.random.default_rng(0)
    groups = generator.integers(0, 300, 3000)
    labels = (groups + generator.integers(0, 2, 3000)) % 5
    stay, held = grouped_split(labels, groups, 0.2, 1)
    assert not set(groups[stay]) & set(groups[held])
    shares = np.bincount(labels[held], minlength=5) / np.bincount(labels)
    assert (abs(shares - 0.2) < 0.05).all()
    again = grouped_split(labels, groups, 0.2, 1)
    np.testing.assert_array_equal(again[1], held)
    assert (grouped_split(labels, groups, 0.2, 2)[1][:20] != held[:20]).any()


def test_a_group_that_holds_a_class_alone_stays(tmp_path):
    from resemblance.data.sources.grouped_split import grouped_split

    labels, groups = np.array([0, 0, 1, 1, 2, 2]), np.array([1, 1, 2, 3, 4, -1])
    for seed in range(5):
        stay, held = grouped_split(labels, groups, 0.5, seed)
        assert set(labels[stay]) == {0, 1, 2}
        assert set(labels[held]) == {1, 2}


def test_files_without_a_suffix_are_images_where_there_are_no_others(tmp_path):
    """Scanners write DICOM files so."""
    write(tmp_path, [f"scans/{n}" for n in range(12)])
    (tmp_path / "labels.csv").write_text("file,class\n" + "".join(f"{n},{n % 2}\n" for n in range(12)))
    assert open_data(str(tmp_path)).classes == ("0", "1")


def test_a_folder_that_a_table_labels_is_known(tmp_path):
    assert not has_label_table(tmp_path / "none")
    assert has_label_table(Path(flat(tmp_path / "data")))
    assert not has_label_table(Path(flat(tmp_path / "ages", header="file,age")))
