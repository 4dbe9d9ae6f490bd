"""SVHN, STL-10, QuickDraw, CelebA and the rendered cars: folders of the true layout."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from made_images import encoded, noise, refusal, zip_of
from resemblance.config.files.named_files import NAMED
from resemblance.data import open_data
from resemblance.data.benchmarks import quickdraw
from resemblance.data.benchmarks.benchmark_readers import BENCHMARKS

GENERATOR = np.random.default_rng(0)


def pixels(*shape):
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


def test_every_name_has_a_reader():
    assert tuple(BENCHMARKS) == NAMED


@pytest.mark.parametrize("kind", sorted(set(NAMED) - {"mnist", "fashion-mnist", "cifar10"}))
def test_an_empty_folder_and_a_file_are_named(kind, tmp_path):
    assert "not the folder of" in refusal(open_data, f"{kind}:{tmp_path}")
    (tmp_path / "it.txt").write_text("")
    assert f"{kind}:DIR needs the folder" in refusal(open_data, f"{kind}:{tmp_path / 'it.txt'}")
    if kind != "celeba":
        assert "has labels of its own" in refusal(open_data, f"{kind}:{tmp_path}", labels="labels.csv")


def svhn(folder, train=20, test=10):
    stored = {}
    for part, count in (("train", train), ("test", test)):
        images, labels = pixels(32, 32, 3, count), (np.arange(count, dtype=np.uint8) % 10 + 1)[:, None]
        savemat(folder / f"{part}_32x32.mat", {"X": images, "y": labels})
        stored[part] = images
    return stored


def test_svhn(tmp_path):
    stored = svhn(tmp_path)
    splits = open_data(f"svhn:{tmp_path}")
    assert splits.classes == tuple("0123456789")
    assert [len(splits.train), len(splits.val), len(splits.test)] == [10, 10, 10]
    assert splits.test.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert np.array_equal(splits.test.read(3), stored["test"][..., 3])
    assert any("are not the published files (by the MD5 sum)" in note for note in splits.notes)
    assert "contains the data for svhn:DIR; use --data svhn:DIR" in refusal(open_data, str(tmp_path))
    savemat(tmp_path / "test_32x32.mat", {"X": stored["test"], "y": np.arange(10) + 2})
    assert "y is not a label from 1 to 10 for each of 10 images" in refusal(open_data, f"svhn:{tmp_path}")
    savemat(tmp_path / "test_32x32.mat", {"X": stored["test"]})
    assert "has no variable 'y'" in refusal(open_data, f"svhn:{tmp_path}")
    (tmp_path / "test_32x32.mat").write_bytes((tmp_path / "train_32x32.mat").read_bytes()[:5000])
    assert "test_32x32.mat: damaged" in refusal(open_data, f"svhn:{tmp_path}")


def test_stl10(tmp_path):
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    images = pixels(20, 96, 96, 3)
    for part, count in (("train", 20), ("test", 10)):
        (folder / f"{part}_X.bin").write_bytes(images[:count].transpose(0, 3, 2, 1).tobytes())
        (folder / f"{part}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())
    splits = open_data(f"stl10:{tmp_path}")
    assert splits.classes[2] == "car"
    assert [len(splits.train), len(splits.val), len(splits.test)] == [10, 10, 10]
    assert splits.test.labels.tolist() == list(range(10))
    assert np.array_equal(splits.test.array, images[:10])
    (folder / "test_X.bin").write_bytes(b"1234")
    assert "4 bytes for 10 labels; expected 276,480; damaged or cut off" in refusal(
        open_data, f"stl10:{folder}"
    )
    (folder / "test_y.bin").unlink()
    assert "but not test_y.bin" in refusal(open_data, f"stl10:{folder}")


def drawings(folder, end="", count=20):
    stored = {name: pixels(count, 784) for name in quickdraw.CLASSES}
    for name, images in stored.items():
        np.save(folder / f"{name}{end}.npy", images)
    return stored


def test_quickdraw_of_the_authors(tmp_path):
    stored = drawings(tmp_path, "_small")
    splits = open_data(f"quickdraw:{tmp_path}")
    assert splits.classes == (
        "ant",
        "apple",
        "banana",
        "carrot",
        "cat",
        "cow",
        "dog",
        "frog",
        "grapes",
        "lion",
    )
    assert [len(splits.train) + len(splits.val), len(splits.test)] == [160, 40]
    assert np.array_equal(splits.test.array[4:8].reshape(4, 784), stored["apple"][16:])
    assert splits.test.labels[4:8].tolist() == [1] * 4


def test_quickdraw_as_google_stores_it(tmp_path, monkeypatch):
    stored = drawings(tmp_path)
    monkeypatch.setattr(quickdraw, "IMAGES", 10)
    rows = np.arange(0, 20, 2)
    np.save(tmp_path / "ant_id.npy", rows)
    splits = open_data(f"quickdraw:{tmp_path}", seed=1)
    assert np.array_equal(splits.test.array[:2].reshape(2, 784), stored["ant"][[16, 18]])
    [note] = [note for note in splits.notes if "drawn at random" in note]
    assert "(apple, banana," in note
    assert np.array_equal(splits.test.array, open_data(f"quickdraw:{tmp_path}", seed=2).test.array)
    np.save(tmp_path / "ant_id.npy", rows + 2)
    assert "ant_id.npy: not numbers of rows of ant.npy" in refusal(open_data, f"quickdraw:{tmp_path}")
    np.save(tmp_path / "apple.npy", pixels(20, 700))
    (tmp_path / "ant_id.npy").unlink()
    assert "apple.npy: uint8 (20, 700); expected drawings" in refusal(open_data, f"quickdraw:{tmp_path}")
    np.save(tmp_path / "apple.npy", np.array([{}], dtype=object))
    assert "apple.npy: not a readable .npy file" in refusal(open_data, f"quickdraw:{tmp_path}")
    (tmp_path / "lion.npy").unlink()
    assert "but not lion_small.npy" in refusal(open_data, f"quickdraw:{tmp_path}")


FACES = 12


def faces(folder):
    """CelebA's tables for twelve faces, and their images by name."""
    names = [f"{number + 1:06}.jpg" for number in range(FACES)]
    lines = [f"{name} {1 if i % 2 else -1:2d} {1 if i % 3 else -1:2d}" for i, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(FACES), "Male Smiling", *lines]) + "\n")
    parts = [f"{name} {0 if i < 6 else 1 if i < 9 else 2}" for i, name in enumerate(names)]
    (folder / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return {f"img_align_celeba/{name}": encoded(noise(i, (6, 7)), "JPEG") for i, name in enumerate(names)}


@pytest.mark.parametrize("layout", ["folder", "twice", "archive"])
def test_celeba(tmp_path, layout):
    images = faces(tmp_path)
    if layout == "archive":
        zip_of(tmp_path / "img_align_celeba.zip", images)
    for name, data in images.items() if layout != "archive" else ():
        path = tmp_path / ("img_align_celeba" if layout == "twice" else "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    splits = open_data(f"celeba:{tmp_path}")
    assert splits.classes == ("female", "male")
    assert [len(splits.train), len(splits.val), len(splits.test)] == [6, 3, 3]
    assert splits.train.labels[np.argsort([splits.train.name(i) for i in range(6)])].tolist() == [0, 1] * 3
    assert splits.test.read(0).size == (6, 7)
    smiling = open_data(f"celeba:{tmp_path}", labels="Smiling")
    assert smiling.classes == ("not Smiling", "Smiling")
    assert np.bincount(smiling.train.labels).tolist() == [2, 4]
    assert "no attribute 'Smilin'; did you mean 'Smiling'" in refusal(
        open_data, f"celeba:{tmp_path}", labels="Smilin"
    )


def test_a_half_copied_celeba(tmp_path):
    images = faces(tmp_path)
    zip_of(tmp_path / "img_align_celeba.zip", dict(list(images.items())[:-1]))
    assert "has no img_align_celeba/000012.jpg" in refusal(open_data, f"celeba:{tmp_path}")
    (tmp_path / "img_align_celeba.zip").unlink()
    (tmp_path / "img_align_celeba").mkdir()
    assert "names 12 images, 12 of them are missing" in refusal(open_data, f"celeba:{tmp_path}")
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    assert "000002.jpg is only in one of" in refusal(open_data, f"celeba:{tmp_path}")
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 3\n")
    assert "has '000001.jpg 3'; expected lines of an image and 0, 1 or 2" in refusal(
        open_data, f"celeba:{tmp_path}"
    )


def test_rendered_cars(tmp_path):
    folder = tmp_path / "cars"
    folder.mkdir()
    (folder / "list.txt").write_text("".join(f"car_{number:03}_mesh\n" for number in range(6)))
    shades = np.arange(24, dtype=np.uint8) * 10
    for number in range(6):
        images = np.zeros((70, 70, 3, 24, 4), np.uint8)
        images[..., 0] = shades
        images[..., 2, :, :] = number
        savemat(folder / f"car_{number:03}_mesh.mat", {"im": images})
    splits = open_data(f"rendered-cars:{tmp_path}")
    assert splits.classes[::5] == ("-75°", "0°", "75°")
    assert [len(splits.train) + len(splits.val), len(splits.test)] == [55, 11]
    assert splits.test.array.shape[1:] == (64, 64, 3)
    assert splits.test.array[:, 9, 9, 0].tolist() == [190, 200, 210, 220, 230, 0, 10, 20, 30, 40, 50]
    assert splits.test.array[:, 9, 9, 2].tolist() == [5] * 11
    assert not set(splits.train.array[:, 9, 9, 2].tolist()) & set(splits.val.array[:, 9, 9, 2].tolist())
    (folder / "car_003_mesh.mat").unlink()
    assert "list.txt names 6 cars, 1 of them missing: the first is car_003_mesh.mat" in refusal(
        open_data, f"rendered-cars:{folder}"
    )
    savemat(folder / "car_003_mesh.mat", {"im": np.zeros((8, 8, 3, 12, 4), np.uint8)})
    assert "expected (H, W, 3, 24, elevations) of uint8" in refusal(open_data, f"rendered-cars:{folder}")
