"""Images in Parquet files, as the Hugging Face Hub lays them out, and their download."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from made_images import png, refusal, zip_of
from resemblance.data import open_data
from resemblance.data.parquet import hub_data, parquet_tree
from resemblance.runs.training_run import default_folder

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

CLASSES = ("zebra", "ant")


def write(path, count, start=0, label=lambda n: n % 2, names=CLASSES, rows=4, extra=None, path_of=None):
    """Write images as the Hub does: a struct of bytes and path, and numbers of classes with names in the metadata."""
    images = [{"bytes": png(start + n), "path": path_of and path_of(n)} for n in range(count)]
    columns = {
        "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([label(n) for n in range(count)]),
    }
    columns |= {name: pa.array([of(n) for n in range(count)]) for name, of in (extra or {}).items()}
    features = {"image": {"_type": "Image"}}
    if names:
        features["label"] = {"names": list(names), "_type": "ClassLabel"}
    table = pa.table(columns).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)


def test_the_layout_of_the_hub(tmp_path):
    write(tmp_path / "data/train-00000-of-00002.parquet", 10)
    write(tmp_path / "data/train-00001-of-00002.parquet", 6, 10)
    write(tmp_path / "data/validation-00000-of-00001.parquet", 4, 20)
    write(tmp_path / "data/test-00000-of-00001.parquet", 5, 30, label=lambda n: -1)
    (tmp_path / "README.md").write_text("hello")
    splits = open_data(str(tmp_path))
    assert splits.classes == CLASSES  # in the order of the file
    assert [len(splits.train), len(splits.val), splits.test] == [16, 4, None]
    assert "5 images without a class left out" in splits.notes
    assert splits.train.name(0) == "train/0000000"
    number = [splits.train.name(i) for i in range(16)].index("train/0000011")
    from resemblance.data import read_image

    np.testing.assert_array_equal(np.asarray(splits.train.read(number)), np.asarray(read_image(png(11))))
    assert splits.train.labels[number] == 1


def test_a_single_file_and_texts_as_classes(tmp_path):
    write(
        tmp_path / "birds.parquet",
        20,
        label=lambda n: "ab"[n % 2],
        names=None,
        path_of=lambda n: f"x/{n}.png",
    )
    write(tmp_path / "other.parquet", 4)
    splits = open_data(str(tmp_path / "birds.parquet"))
    assert splits.classes == ("a", "b")
    assert len(splits.train) + len(splits.val) + len(splits.test) == 20
    assert splits.train.name(0).startswith("train/")
    assert splits.train.name(0).endswith(".png")


def test_splits_by_folder_and_other_splits(tmp_path):
    write(tmp_path / "default/train/0000.parquet", 8)
    write(tmp_path / "default/test/0000.parquet", 4, 10)
    write(tmp_path / "default/unsupervised/0000.parquet", 4, 20)
    splits = open_data(str(tmp_path))
    assert len(splits.test) == 4
    assert "Parquet files of other splits left out: default/unsupervised/0000.parquet" in splits.notes


def test_groups_and_another_column_of_classes(tmp_path):
    extra = {"patient_id": lambda n: n // 4, "sex": lambda n: "fm"[n % 2]}
    write(tmp_path / "train.parquet", 40, extra=extra)
    splits = open_data(str(tmp_path))
    names = [
        {int(p.name(i)[-7:]) // 4 for i in range(len(p))} for p in (splits.train, splits.val, splits.test)
    ]
    assert sum(map(len, names)) == 10
    assert open_data(str(tmp_path), labels="sex").classes == ("f", "m")
    assert "has no column 'age'; its columns are label, patient_id, sex" in refusal(
        open_data, str(tmp_path), labels="age"
    )


def test_row_groups_are_read_again_where_memory_is_short(tmp_path, monkeypatch):
    write(tmp_path / "train.parquet", 20)
    splits = open_data(str(tmp_path))
    monkeypatch.setattr(parquet_tree, "CACHED", 1)
    source = splits.train.source.source if hasattr(splits.train.source, "source") else splits.train.source
    tree = pickle.loads(pickle.dumps(source.tree))  # as for loader processes
    for name in reversed(tree.names):
        assert tree.read(name) == png(int(name[-7:]))
    assert len(tree._groups) == 1
    assert len({tree.stamp(name) for name in tree.names}) == 20


def test_files_that_cannot_be_used(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1rubbish")
    assert "not a readable Parquet file" in refusal(open_data, str(tmp_path))
    pq.write_table(pa.table({"a": [1], "label": [0]}), tmp_path / "train.parquet")
    assert "no column has images; the columns are a, label" in refusal(open_data, str(tmp_path))
    pq.write_table(pa.table({"image": [b"x"], "b": [0]}), tmp_path / "train.parquet")
    assert "which column has the classes? --labels COLUMN" in refusal(open_data, str(tmp_path))
    write(tmp_path / "train.parquet", 6, label=lambda n: [n % 2], names=None)
    assert "classes are texts or whole numbers" in refusal(open_data, str(tmp_path))
    write(tmp_path / "train.parquet", 6, label=lambda n: 0)
    assert "expected two or more classes" in refusal(open_data, str(tmp_path))
    columns = {
        "image": pa.array(
            [{"bytes": None, "path": "a.png"}] * 6, pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        ),
        "label": [0, 1] * 3,
    }
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    assert "no image there, only its path" in refusal(open_data, str(tmp_path))


def test_cut_off_files_are_refused_in_a_line(tmp_path):
    path = tmp_path / "train.parquet"
    write(path, 12)
    data = path.read_bytes()
    for end in np.linspace(10, len(data) - 1, 8, dtype=int):
        path.write_bytes(data[:end])
        assert refusal(open_data, str(tmp_path))
    damaged = bytearray(data)
    damaged[len(data) // 8 : len(data) // 4] = b"?" * (len(data) // 4 - len(data) // 8)
    path.write_bytes(bytes(damaged))
    assert refusal(open_data, str(tmp_path))


def test_archives_of_parquet_files_are_to_be_unpacked(tmp_path):
    write(tmp_path / "train.parquet", 4)
    archive = zip_of(tmp_path / "a.zip", {"train.parquet": (tmp_path / "train.parquet").read_bytes()})
    assert "an archive of Parquet files; unpack it" in refusal(open_data, str(archive))


class Hub:
    """Stands in for the network: a folder of repositories and revisions."""

    def __init__(self, root, monkeypatch):
        self.root, self.asked = root, []
        import huggingface_hub

        monkeypatch.setattr(
            huggingface_hub.HfApi, "list_repo_files", lambda api, *a, **o: self.files(*a, **o)
        )
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.download)

    def folder(self, repo, revision):
        folder = self.root / repo / (revision or "main").replace("/", "-")
        if not folder.is_dir():
            raise type("RepositoryNotFoundError", (Exception,), {})()
        return folder

    def files(self, repo, *, repo_type, revision):
        assert repo_type == "dataset"
        folder = self.folder(repo, revision)
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    def download(self, repo, *, repo_type, revision, allow_patterns=None, local_files_only=False):
        assert repo_type == "dataset"
        if local_files_only:
            raise FileNotFoundError
        self.asked.append((repo, revision, tuple(allow_patterns)))
        return str(self.folder(repo, revision))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    return Hub(tmp_path, monkeypatch)


def test_data_of_the_hub(hub, tmp_path):
    write(tmp_path / "ann/birds/main/data/train-00000-of-00001.parquet", 20)
    write(tmp_path / "ann/birds/v1/data/train-00000-of-00001.parquet", 10)
    splits = open_data("hf:ann/birds")
    assert splits.classes == CLASSES
    assert splits.name == "hf:ann/birds"
    assert hub.asked == [("ann/birds", None, ("data/train-00000-of-00001.parquet",))]
    older = open_data("hf:ann/birds@v1")
    assert len(older.train) < len(splits.train)


def test_parts_of_data_of_the_hub(hub, tmp_path):
    for part, count in (("small", 10), ("large", 20)):
        write(tmp_path / f"ann/birds/main/{part}/train-0.parquet", count)
    message = refusal(open_data, "hf:ann/birds")
    assert "hf:ann/birds: choose one of its parts, large, small: hf:ann/birds:large" in message
    splits = open_data("hf:ann/birds:small")
    assert len(splits.train) + len(splits.val) + len(splits.test) == 10
    assert "has no part 'tiny'; it has large, small" in refusal(open_data, "hf:ann/birds:tiny")


def test_images_and_what_the_hub_has_converted(hub, tmp_path):
    for n in range(12):
        path = tmp_path / f"ann/pictures/main/{CLASSES[n % 2]}/{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(n))
    assert open_data("hf:ann/pictures").classes == tuple(sorted(CLASSES))
    (tmp_path / "ann/script/main").mkdir(parents=True)
    (tmp_path / "ann/script/main/script.py").write_text("raise SystemExit")
    write(tmp_path / "ann/script/refs-convert-parquet/default/train/0000.parquet", 10)
    assert open_data("hf:ann/script").classes == CLASSES
    assert hub.asked[-1][1] == hub_data.CONVERTED


def test_runs_are_called_like_the_data_of_the_hub():
    assert default_folder("kmex", "hf:ann/birds@v1:small").as_posix() == "runs/kmex-birds"


def test_only_names_with_the_prefix_reach_the_hub(hub, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write(tmp_path / "ann/birds/main/data/train-0.parquet", 10)
    for name in ("ann/birdz", "ann/birds", "ann", "birds"):
        refusal(open_data, name)
    assert hub.asked == []
    assert "not a data set on the Hugging Face Hub" in refusal(open_data, "hf:ann/birdz")
    assert "expected hf:OWNER/NAME" in refusal(open_data, "hf:birds")
