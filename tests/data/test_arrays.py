"""Files of MedMNIST, IDX files, CIFAR-10's files and the embedded digits."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from made_images import files_of, fill, png, refusal, zip_of
from resemblance.data import open_data
from resemblance.data.benchmarks.cifar10 import CIFAR10
from resemblance.data.sources import npz as npz_module

GENERATOR = np.random.default_rng(0)


def pixels(*shape):
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


def npz(path, **changes):
    """Write a MedMNIST file with some arrays changed, or left out where None."""
    arrays = {}
    for part, count in (("train", 20), ("val", 6), ("test", 8)):
        arrays[f"{part}_images"] = pixels(count, 6, 5)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 3
    arrays.update(changes)
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def opened(path, **options):
    return open_data(str(path), **options)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("column", [True, False])
def test_npz(tmp_path, channels, column):
    images = pixels(20, 6, 5, *channels)
    labels = np.arange(20)[:, None] % 3
    splits = opened(
        npz(tmp_path / "a.npz", train_images=images, train_labels=labels if column else labels[:, 0])
    )
    assert splits.classes == ("0", "1", "2")
    assert [len(splits.train), len(splits.val), len(splits.test)] == [20, 6, 8]
    np.testing.assert_array_equal(splits.train.labels, labels[:, 0])
    np.testing.assert_array_equal(splits.train.array, images.reshape(20, 6, 5, -1))
    np.testing.assert_array_equal(np.asarray(splits.train.read(3)), images[3].squeeze())
    assert splits.train.name(3) == "train_images #3"
    assert splits.notes == []


def test_npz_without_val_and_test(tmp_path):
    none = dict.fromkeys(("val_images", "val_labels", "test_images", "test_labels"))
    splits = opened(npz(tmp_path / "a.npz", **none))
    assert len(splits.train) + len(splits.val) + len(splits.test) == 20
    assert len(splits.notes) == 2


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint16])
def test_npz_labels_of_other_types(tmp_path, dtype):
    labels = (np.arange(20) % 3).astype(dtype)
    assert opened(npz(tmp_path / "a.npz", train_labels=labels)).train.labels.dtype == np.int64


MULTI = np.eye(3, dtype=np.uint8)[np.arange(20) % 3]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_labels": MULTI}, "train_labels has 3 labels per image; expected one, not multi-label data"),
        ({"train_labels": None}, "has no train_labels"),
        ({"train_images": None}, "has no train_images"),
        ({"val_labels": None}, "has no val_labels"),
        ({"train_images": pixels(20, 6, 6, 6)}, "not volumes"),
        ({"train_images": pixels(20, 6, 6, 6, 3)}, "not volumes"),
        ({"train_images": pixels(20, 3, 6, 6)}, "expected images (n, h, w) or (n, h, w, 3)"),
        ({"train_images": pixels(20, 0, 6)}, "shape (20, 0, 6)"),
        ({"train_images": pixels(20, 6, 6) / 255}, "train_images are float64; expected uint8"),
        ({"train_images": pixels(19, 6, 6)}, "19 train_images but 20 labels"),
        ({"train_images": pixels(20)}, "has shape (20,)"),
        ({"train_labels": np.arange(20) % 3 - 1}, "negative label -1"),
        ({"train_labels": np.arange(20) % 3 * 2}, "goes up to 4, but none is 1"),
        ({"train_labels": np.where(np.arange(20) % 2, 10**15, 0)}, "but none is 1"),
        ({"train_labels": np.zeros(20, int)}, "contains 1 class"),
        ({"train_labels": np.arange(20) / 2}, "not class numbers"),
        ({"train_labels": np.where(np.arange(20) % 2, np.nan, 0)}, "not class numbers"),
        ({"train_labels": np.where(np.arange(20) % 2, np.inf, 0)}, "not class numbers"),
        ({"train_labels": np.array(["a", "b"] * 10)}, "not class numbers"),
        (
            {"train_labels": np.array([0, 1] * 10, dtype=object)},
            "not an .npz file of plain arrays (Object arrays",
        ),
        ({"train_labels": np.array(0)}, "expected (n,) or (n, 1)"),
        ({"train_images": pixels(0, 6, 6), "train_labels": np.zeros(0, int)}, "contains 0 class"),
        ({"val_labels": np.full((6, 1), 3)}, "val_labels contains 3, but train_labels only goes up to 2"),
        ({"test_labels": np.full((8, 1), 7)}, "test_labels contains 7, but train_labels only goes up to 2"),
    ],
)
def test_npz_refusals(tmp_path, changes, reason):
    message = refusal(opened, npz(tmp_path / "a.npz", **changes))
    assert message.startswith(f"{tmp_path / 'a.npz'}: ")
    assert reason in message


def test_npz_other_arrays_are_ignored(tmp_path):
    assert len(opened(npz(tmp_path / "a.npz", other=np.array([{}], dtype=object))).train) == 20


def test_files_that_are_not_npz(tmp_path):
    whole = npz(tmp_path / "a.npz").read_bytes()
    np.save(tmp_path / "array.npy", pixels(3))
    contents = {
        "cut": whole[:500],
        "empty": b"",
        "text": b"hello",
        "array": (tmp_path / "array.npy").read_bytes(),
    }
    contents["pickle"] = b"\x80\x04]\x94."
    for name, data in contents.items():
        (tmp_path / f"{name}.npz").write_bytes(data)
        assert f"{name}.npz: not an .npz file of plain arrays" in refusal(opened, tmp_path / f"{name}.npz")


def test_a_file_in_an_npz_that_is_not_an_array_is_refused(tmp_path):
    """NumPy returns its bytes."""
    path = npz(tmp_path / "a.npz", train_labels=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_labels.npy", b"hello")
    assert "a.npz: train_labels is not an array" in refusal(opened, path)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist(folder, compress=False, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "train-images-idx3-ubyte": idx(pixels(40, 28, 28)),
        "train-labels-idx1-ubyte": idx(np.arange(40, dtype=np.uint8) % 10),
        "t10k-images-idx3-ubyte": idx(pixels(20, 28, 28)),
        "t10k-labels-idx1-ubyte": idx(np.arange(20, dtype=np.uint8) % 10),
    }
    for name, data in (files | {name.replace("_", "-"): data for name, data in changes.items()}).items():
        if data is not None:
            (folder / f"{name}{'.gz' if compress else ''}").write_bytes(
                gzip.compress(data) if compress else data
            )
    return folder


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_idx(tmp_path, compress, below):
    mnist(tmp_path / below, compress)
    splits = open_data(f"mnist:{tmp_path}")
    assert splits.classes == tuple("0123456789")
    assert [len(splits.train), len(splits.val), len(splits.test)] == [30, 10, 20]
    assert splits.test.labels.tolist() == [i % 10 for i in range(20)]
    assert splits.train.shapes[0].tolist() == [28, 28, 1]
    assert open_data(f"fashion-mnist:{tmp_path}").classes[9] == "Ankle boot"


def test_idx_that_was_unpacked_and_kept_its_name(tmp_path):
    mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").rename(tmp_path / "train-labels-idx1-ubyte.gz")
    assert len(open_data(f"mnist:{tmp_path}").test) == 20


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "has no train-images-idx3-ubyte"),
        (b"", "not an IDX file"),
        (b"\0\0\x08\x01" + bytes(50), "not an IDX file of unsigned bytes with 3 dimensions"),
        (b"\0\0\x0d\x03" + bytes(50), "not an IDX file of unsigned bytes with 3 dimensions"),
        (
            idx(pixels(40, 28, 28))[:-1],
            "train-images-idx3-ubyte: 31375 bytes instead of 31376; damaged or cut off",
        ),
        (idx(pixels(40, 28, 28)) + b"\0", "more than the 31376 bytes that its header announces"),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, 2**32 - 1, 28, 28), "is over 2048 MiB; refused"),
        (
            gzip.compress(struct.pack(">BBBBIII", 0, 0, 8, 3, 1 << 20, 28, 28), mtime=0),
            "too short for the shape in its header, (1048576, 28, 28); damaged or cut off",
        ),
        (idx(pixels(0, 28, 28)), "empty"),
        (idx(pixels(39, 28, 28)), "39 train-images but 40 labels"),
        (gzip.compress(idx(pixels(40, 28, 28)), mtime=0)[:-100], "damaged or cut off"),
    ],
)
def test_idx_refusals(tmp_path, data, reason):
    mnist(tmp_path, train_images_idx3_ubyte=data)
    assert reason in refusal(open_data, f"mnist:{tmp_path}")


def test_idx_labels_out_of_range(tmp_path):
    labels = np.arange(20, dtype=np.uint8) % 11
    message = refusal(open_data, f"mnist:{mnist(tmp_path, t10k_labels_idx1_ubyte=idx(labels))}")
    assert "t10k-labels-idx1-ubyte: label 10 for test-images #10; expected 0 to 9" in message


def test_idx_given_as_a_folder_of_images(tmp_path):
    assert "data for mnist:DIR or fashion-mnist:DIR" in refusal(opened, mnist(tmp_path))


def test_real_mnist(real_data):
    splits = open_data(f"mnist:{real_data('mnist')}")
    assert [len(splits.train), len(splits.val), len(splits.test)] == [54_001, 5_999, 10_000]
    assert np.bincount(splits.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(splits.test.array.mean()), 2) == 33.79


def cifar_zips(folder, train=2, test=1):
    zip_of(folder / "train.zip", files_of({f"train/{name}": train for name in CIFAR10}))
    zip_of(folder / "test.zip", files_of({f"test/{name}": test for name in CIFAR10}))
    return folder


def test_cifar10_archives(tmp_path):
    splits = open_data(f"cifar10:{cifar_zips(tmp_path)}")
    assert splits.classes == CIFAR10
    assert [len(splits.train), len(splits.val), len(splits.test)] == [10, 10, 10]
    assert all(name.split("/")[0] == "test" for name in map(splits.test.name, range(10)))
    assert splits.test.labels.tolist() == list(range(10))


def test_cifar10_folders(tmp_path):
    counts = {f"{part}/{name}": 2 for part in ("train", "test") for name in CIFAR10}
    assert len(open_data(f"cifar10:{fill(tmp_path, counts)}").test) == 20


def test_cifar10_archives_without_the_folder_of_the_split(tmp_path):
    zip_of(tmp_path / "train.zip", files_of(dict.fromkeys(CIFAR10, 2)))
    zip_of(tmp_path / "test.zip", files_of(dict.fromkeys(CIFAR10, 1)))
    assert len(open_data(f"cifar10:{tmp_path}").test) == 10


def test_cifar10_archives_with_a_bad_image(tmp_path):
    cifar_zips(tmp_path)
    zip_of(
        tmp_path / "test.zip", files_of({f"test/{name}": 1 for name in CIFAR10}) | {"test/cat/z.png": b"?"}
    )
    assert "test.zip:test/cat/z.png: not a readable image" in refusal(open_data, f"cifar10:{tmp_path}")
    assert len(open_data(f"cifar10:{tmp_path}", skip_bad_images=True).test) == 10


def test_cifar10_of_other_classes(tmp_path):
    assert "expected CIFAR-10's" in refusal(
        open_data, f"cifar10:{fill(tmp_path, {'train/a': 2, 'train/b': 2})}"
    )


def test_cifar10_binary(tmp_path):
    images = pixels(20, 32, 32, 3)
    labels = np.arange(20, dtype=np.uint8) % 10
    records = np.concatenate(
        [labels[:, None], images.transpose(0, 3, 1, 2).reshape(20, -1)], axis=1
    ).tobytes()
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (tmp_path / f"{name}.bin").write_bytes(records)
    splits = open_data(f"cifar10:{tmp_path}")
    assert [len(splits.train), len(splits.val), len(splits.test)] == [90, 10, 20]
    np.testing.assert_array_equal(splits.test.array, images)
    np.testing.assert_array_equal(splits.test.labels, labels)
    (tmp_path / "data_batch_3.bin").write_bytes(records[:-1])
    assert "data_batch_3.bin: 61459 bytes" in refusal(open_data, f"cifar10:{tmp_path}")
    (tmp_path / "data_batch_3.bin").write_bytes(b"\x0a" + records[1:])
    assert "data_batch_3.bin: label 10; expected 0 to 9" in refusal(open_data, f"cifar10:{tmp_path}")
    (tmp_path / "data_batch_3.bin").unlink()
    assert "data_batch_3.bin: No such file" in refusal(open_data, f"cifar10:{tmp_path}")


def test_cifar10_pickles_are_not_read(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x04]\x94.")
    assert "the version with Python pickles cannot be read" in refusal(open_data, f"cifar10:{tmp_path}")


def test_digits(tmp_path, monkeypatch):
    splits = open_data("digits")
    assert splits.train.shapes[0].tolist() == [32, 32, 1]
    assert len(splits.train) + len(splits.val) + len(splits.test) == 1797
    assert splits.train.array.max() == 255
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "digits", {"a": 3, "b": 3})
    assert "the embedded digits; for the folder of that name use ./digits" in open_data("digits").notes[-1]
    assert open_data("./digits").classes == ("a", "b")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("", "no data given"),
        ("  ", "no data given"),
        ("mnist", "mnist needs a folder: --data mnist:DIR"),
        ("mnist:", "no data given"),
        ("mnist:nowhere", "mnist:DIR needs the folder with mnist's files; no such data: nowhere"),
        ("cifar10:pets.zip", "no such data: pets.zip; did you mean pets?"),
        ("digit", "no such data: digit"),
        ("petz", "did you mean pets?"),
        ("~nobody-here/pets", "no such data: ~nobody-here/pets"),
        ("x" * 5000, "no such data"),
        ("two\nlines\0", r"no such data: two\nlines\x00"),
        ("a.tar.gz", "a.tar.gz is a .gz file; data can be digits"),
        ("README", "README is a plain file; data can be digits"),
    ],
)
def test_names_that_are_not_data(tmp_path, monkeypatch, spec, reason):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "pets", {"a": 3, "b": 3})
    for name in ("a.tar.gz", "README"):
        (tmp_path / name).write_bytes(png())
    assert reason in refusal(open_data, spec)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_validation_fractions(fraction):
    assert "between 0 and 1" in refusal(open_data, "digits", val_fraction=fraction)


def test_a_bomb_of_an_npz_is_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_module, "SUSPICIOUS", 1 << 16)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, train_images=np.zeros((200, 64, 64), np.uint8), train_labels=np.arange(200) % 2)
    assert "over a hundred times its size" in refusal(open_data, str(path))


def test_a_bomb_of_a_gzip_is_unpacked_no_further_than_its_header_says(tmp_path):
    bomb = gzip.compress(idx(pixels(40, 28, 28)) + bytes(1 << 27), 1)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    tracemalloc.start()
    message = refusal(open_data, f"mnist:{tmp_path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than the 31376 bytes that its header announces" in message
    assert peak < 1 << 22


def test_a_gzip_whose_header_announces_too_much_is_refused(tmp_path):
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 1 << 24, 28, 28)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(1 << 17)))
    assert "is over 2048 MiB; refused" in refusal(open_data, f"mnist:{tmp_path}")
