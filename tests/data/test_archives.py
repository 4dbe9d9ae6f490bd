"""Zip archives are read like folders, and malicious ones are refused."""

from __future__ import annotations

import contextlib
import stat
import struct
import zipfile

import numpy as np
import pytest

from made_images import files_of, fill, png, refusal, zip_of
from resemblance.config.errors import UserError
from resemblance.data import open_data
from resemblance.data.sources.tree import Archive, Bundle, Folder

COUNTS = {"train/a": 6, "train/b": 5, "test/a": 2, "test/b": 1}


def opened(path, **options):
    return open_data(str(path), **options)


def contents(source):
    return {
        source.name(i): (int(source.labels[i]), np.asarray(source.read(i)).tobytes())
        for i in range(len(source))
    }


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_an_archive_reads_like_a_folder(tmp_path, method):
    folder = opened(fill(tmp_path / "pets", COUNTS))
    archive = opened(zip_of(tmp_path / "pets.zip", files_of(COUNTS), method))
    for part in ("train", "val", "test"):
        assert contents(getattr(archive, part)) == contents(getattr(folder, part))
    assert not any(path.is_file() for path in tmp_path.iterdir() if path.suffix != ".zip")


def test_one_folder_around_everything(tmp_path):
    wrapped = {f"pets/{name}": data for name, data in files_of(COUNTS).items()}
    assert opened(zip_of(tmp_path / "pets.zip", wrapped)).classes == ("a", "b")


def test_folder_entries_and_junk(tmp_path):
    more = {"train/": b"", "train/a/": b"", "__MACOSX/train/a/._0.png": b"?", "train/a/.DS_Store": b"?"}
    assert opened(zip_of(tmp_path / "pets.zip", more | files_of(COUNTS))).classes == ("a", "b")


def test_an_empty_class_folder(tmp_path):
    path = zip_of(tmp_path / "pets.zip", {"train/c/": b""} | files_of(COUNTS))
    assert "class folder 'c' contains no images" in refusal(opened, path)


@pytest.mark.parametrize(
    "name",
    [
        "../a.png",
        "train/../../a.png",
        "/etc/a.png",
        "C:/a.png",
        "c:\\a.png",
        "..\\a.png",
        "train\\..\\..\\a.png",
    ],
)
def test_entries_that_point_outside(tmp_path, name):
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS) | {name: png()})
    message = refusal(opened, path)
    assert "points outside the archive; refused" in message
    assert str(path) in message


def test_backslashes(tmp_path):
    contents = {name.replace("/", "\\"): data for name, data in files_of(COUNTS).items()}
    assert opened(zip_of(tmp_path / "pets.zip", contents)).classes == ("a", "b")


def test_colons_are_harmless(tmp_path):
    splits = opened(zip_of(tmp_path / "pets.zip", files_of(COUNTS) | {"test/a/12:30.png": png()}))
    assert "test/a/12:30.png" in contents(splits.test)


def test_links(tmp_path):
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS))
    link = zipfile.ZipInfo("train/a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "entry 'train/a/link.png' is a link; refused" in refusal(opened, path)


def test_encrypted_entries(tmp_path):
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert "is encrypted" in refusal(opened, path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["train/a/0.png", "train//a/0.png", "./train/a/0.png", "train\\a\\0.png"])
def test_duplicate_names(tmp_path, name):
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, png(99))
    assert "occurs twice; refused" in refusal(opened, path)


def test_nested_archives(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", files_of(COUNTS)).read_bytes()
    assert "contains only archives, inner.zip; unpack them first" in refusal(
        opened, zip_of(tmp_path / "outer.zip", {"inner.zip": inner})
    )
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS) | {"train/a/inner.zip": inner})
    assert "pets.zip:train/a/inner.zip: a zip archive; unpack it" in refusal(opened, path)


def test_entries_that_unpack_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr("resemblance.data.sources.tree.MAX_FILE", 1 << 20)
    bomb = {"train/a/bomb.png": bytes((1 << 20) + 1)}
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS) | bomb, zipfile.ZIP_DEFLATED)
    assert "train/a/bomb.png: unpacks to over 1 MiB; refused" in refusal(opened, path)


def test_entries_that_lie_about_their_size(tmp_path):
    path = zip_of(
        tmp_path / "pets.zip", files_of(COUNTS) | {"train/a/lie.png": bytes(100_000)}, zipfile.ZIP_DEFLATED
    )
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 100_000), struct.pack("<I", 100)))
    assert "train/a/lie.png: damaged" in refusal(opened, path)


def test_damaged_entries(tmp_path):
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS))
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 0xFF
    path.write_bytes(data)
    message = refusal(opened, path)
    assert "pets.zip:train/a/0.png: damaged in the archive (Bad CRC-32" in message
    notes = opened(path, skip_bad_images=True).notes
    assert notes[0].startswith("1 image skipped in train: ")


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_truncated_archives(tmp_path, keep):
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS))
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    assert "pets.zip: not a readable zip archive" in refusal(opened, path)


def test_damaged_directories_are_refused_or_harmless(tmp_path):
    path = zip_of(tmp_path / "pets.zip", files_of(COUNTS))
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    generator = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(data)
        broken[generator.integers(start, len(data))] = generator.integers(256)
        path.write_bytes(broken)
        with contextlib.suppress(UserError):
            opened(path)


def test_an_empty_archive(tmp_path):
    assert "no class folders" in refusal(opened, zip_of(tmp_path / "pets.zip", {}))


def test_class_names_in_unicode(tmp_path):
    splits = opened(zip_of(tmp_path / "pets.zip", files_of({"Żółw ☃": 3, "<b>": 3})))
    assert splits.classes == ("<b>", "Żółw ☃")


def test_trees_list_the_files_and_folders_of_each_folder(tmp_path):
    folder = Folder(fill(tmp_path / "pets", {"a/x": 2, "b": 1, "c": 0}))
    archive = Archive(zip_of(tmp_path / "pets.zip", files_of({"a/x": 2, "b": 1}) | {"c/": b""}))
    for tree in (folder, archive):
        assert tree.names == ["a/x/0.png", "a/x/1.png", "b/0.png"]
        assert tree.folders == {"a", "a/x", "b", "c"}
        assert tree.children == {"": ["a", "b", "c"], "a": ["x"]}
        assert tree.files == {"a/x": ["0.png", "1.png"], "b": ["0.png"]}
        assert tree.read("b/0.png") == files_of({"a/x": 2, "b": 1})["b/0.png"]


def test_bundles(tmp_path):
    plain = Archive(zip_of(tmp_path / "plain.zip", {"a/0.png": b"plain"}))
    wrapped = Archive(zip_of(tmp_path / "wrapped.zip", {"test/a/0.png": b"wrapped"}))
    bundle = Bundle({"train": plain, "test": wrapped})
    assert bundle.names == ["test/a/0.png", "train/a/0.png"]
    assert bundle.folders == {"train", "test", "train/a", "test/a"}
    assert [bundle.read(name) for name in bundle.names] == [b"wrapped", b"plain"]
    assert bundle.shown("train/a/0.png").endswith("plain.zip:a/0.png")
