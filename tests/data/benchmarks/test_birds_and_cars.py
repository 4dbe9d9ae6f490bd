"""CUB-200-2011 and Stanford Cars: folders of the true layout, whole, cropped, and in ProtoTree's views."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from made_images import encoded, noise, png, refusal
from resemblance.config.image import ImageSpec
from resemblance.data import ImageDataset, open_data
from resemblance.data.benchmarks.box_crops import BoxCrops, CornerCrops
from resemblance.data.regions import open_regions
from resemblance.data.sources.joined import Joined
from resemblance.data.transforms import to_pixels

BIRDS = 8  # of each of the first three classes


def rows(archive, name):
    return [line.split() for line in archive.read(f"CUB_200_2011/{name}").decode().splitlines()]


@pytest.fixture(scope="module")
def few_birds(real_data, tmp_path_factory):
    """The first images of three classes, with their true annotations; the images are noise that holds the boxes."""
    folder = tmp_path_factory.mktemp("birds") / "CUB_200_2011"
    folder.mkdir()
    with zipfile.ZipFile(real_data("cub200-2011-annotations") / "CUB_200_2011_annotations.zip") as archive:
        names = dict(rows(archive, "images.txt"))
        boxes = {row[0]: [float(side) for side in row[1:]] for row in rows(archive, "bounding_boxes.txt")}
        kept = []
        for start in ("001.", "002.", "003."):
            kept += [key for key, name in names.items() if name.startswith(start)][:BIRDS]
        for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes"):
            lines = [" ".join(row) for row in rows(archive, f"{name}.txt") if row[0] in kept]
            (folder / f"{name}.txt").write_text("\n".join(lines))
        (folder / "classes.txt").write_text(
            "\n".join(" ".join(row) for row in rows(archive, "classes.txt")[:3])
        )
        (folder / "parts").mkdir()
        parts = [" ".join(row) for row in rows(archive, "parts/part_locs.txt") if row[0] in set(kept)]
        (folder / "parts/part_locs.txt").write_text("\n".join(parts))
    for number, key in enumerate(kept):
        x, y, width, height = boxes[key]
        path = folder / "images" / names[key]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            encoded(noise(number, (int(x + width) + 30, int(y + height) + 20)), "JPEG", quality=30)
        )
    return folder


@pytest.fixture
def birds(few_birds, tmp_path):
    return Path(shutil.copytree(few_birds, tmp_path / "CUB_200_2011"))


def box_of(folder, name):
    number = next(
        row.split()[0] for row in (folder / "images.txt").read_text().splitlines() if row.split()[1] in name
    )
    line = next(
        row for row in (folder / "bounding_boxes.txt").read_text().splitlines() if row.split()[0] == number
    )
    x, y, width, height = map(float, line.split()[1:])
    return x, y, width, height


def test_cub_has_the_official_split(birds):
    splits = open_data(f"cub:{birds}")
    tested = [row.endswith(" 0") for row in (birds / "train_test_split.txt").read_text().splitlines()]
    assert splits.classes == ("Black footed Albatross", "Laysan Albatross", "Sooty Albatross")
    assert len(splits.test) == sum(tested)
    assert len(splits.train) + len(splits.val) == len(tested) - sum(tested)
    assert {splits.test.name(i).split("/")[1][:3] for i in np.flatnonzero(splits.test.labels == 1)} == {"002"}


def test_cropped_birds_are_what_protopnet_crops(birds):
    whole, crops = open_data(f"cub:{birds}"), open_data(f"cub-cropped:{birds}")
    for plain, cropped in ((whole.train, crops.train), (whole.val, crops.val), (whole.test, crops.test)):
        assert len(plain) == len(cropped)
        for index in range(len(plain)):
            x, y, width, height = box_of(birds, plain.name(index))
            expected = plain.read(index).crop((x, y, x + width, y + height))
            assert np.array_equal(expected, cropped.read(index))
            assert cropped.shapes[index].tolist() == [height, width, 3]
            assert cropped.stamp(index) != plain.stamp(index)


def test_parts_lie_in_the_crops(birds):
    whole, crops = open_data(f"cub:{birds}").test, open_data(f"cub-cropped:{birds}").test
    points = open_regions(f"cub:{birds}", whole)
    cropped = open_regions(f"cub-crops:{birds}", crops)
    for index in range(len(whole)):
        x, y, *_ = box_of(birds, whole.name(index))
        np.testing.assert_allclose(cropped.values[index], points.values[index] - (x, y))


def test_corner_crops_are_prototrees(birds):
    whole, corners = open_data(f"cub:{birds}"), open_data(f"cub-corners:{birds}")
    assert isinstance(corners.train, CornerCrops)
    assert not isinstance(corners.test, BoxCrops)
    assert not isinstance(corners.val, BoxCrops)
    for index in range(len(whole.train)):
        x, y, width, height = box_of(birds, whole.train.name(index))
        image = whole.train.read(index)
        sides = (image.width, image.height)
        left, upper = max(x - int(0.1 * width), 0), max(y - int(0.1 * height), 0)
        right = min(x + width + int(0.1 * width), image.width)
        lower = min(y + height + int(0.1 * height), image.height)
        assert [corners.train.view_box(index, view, sides) for view in range(5)] == [
            (0, 0, *sides),
            (0, 0, right, lower),
            (left, 0, image.width, lower),
            (0, upper, right, image.height),
            (left, upper, *sides),
        ]
        assert corners.train.read(index).size == (width, height)


def test_training_draws_views_and_nothing_else_does(birds):
    splits = open_data(f"cub-corners:{birds}")
    spec = ImageSpec(32, 32, 3, (0.5,) * 3, (0.5,) * 3)
    source = Joined(splits.train, splits.val)
    training, plain = ImageDataset(source, spec, seed=3, views=True), ImageDataset(source, spec)
    still = plain[0].images
    assert plain[(4, 0)].images.equal(still)
    assert training[0].images.equal(still)
    assert (still[0].numpy().transpose(1, 2, 0) * 255).round().tolist() == to_pixels(
        splits.train.read(0), spec
    ).tolist()
    views = [training[(epoch, 0)].images for epoch in range(40)]
    assert training[(5, 0)].images.equal(views[5])
    assert len({view.numpy().tobytes() for view in views}) == 5


def test_a_wrong_or_half_copied_folder_is_named(birds, tmp_path):
    images = sorted(birds.glob("images/*/*.jpg"))
    assert len(open_data(f"cub:{tmp_path}").test) == len(open_data(f"cub:{birds / 'images'}").test)
    plain = refusal(open_data, str(birds))
    assert "contains the data for cub:DIR, cub-cropped:DIR or cub-corners:DIR; use --data" in plain
    for image in images[-3:]:
        image.unlink()
    message = refusal(open_data, f"cub:{birds}")
    assert f"images.txt names {3 * BIRDS} images, 3 of them are missing: the first is images/003." in message
    splits = open_data(f"cub:{birds}", skip_bad_images=True)
    assert len(splits.train) + len(splits.val) + len(splits.test) == 3 * BIRDS - 3
    assert any("3 of them are missing" in note and note.endswith("left out") for note in splits.notes)
    (birds / "bounding_boxes.txt").unlink()
    assert "of CUB-200-2011, but not bounding_boxes.txt; was it copied" in refusal(open_data, f"cub:{birds}")
    shutil.rmtree(birds)
    (tmp_path / "CUB_200_2011.tgz").write_bytes(b"cut off")
    for place in (tmp_path, tmp_path / "CUB_200_2011.tgz"):
        message = refusal(open_data, f"cub:{place}")
        assert "CUB_200_2011.tgz is an archive; unpack" in message
        assert "is not the published one" in message
    (tmp_path / "CUB_200_2011.tgz").unlink()
    assert "not the folder of CUB-200-2011, which has images.txt" in refusal(open_data, f"cub:{tmp_path}")


def test_the_real_annotations_without_images(real_data, tmp_path):
    with zipfile.ZipFile(real_data("cub200-2011-annotations") / "CUB_200_2011_annotations.zip") as archive:
        archive.extractall(tmp_path)
    assert "but not images; was it copied" in refusal(open_data, f"cub:{tmp_path}")
    (tmp_path / "CUB_200_2011/images").mkdir()
    message = refusal(open_data, f"cub:{tmp_path}")
    assert "images.txt names 11,788 images, 11,788 of them are missing" in message


def cars(folder, train=8, test=3):
    """Stanford Cars of two classes, as the devkit stores them."""
    (folder / "devkit").mkdir(parents=True)
    names = np.array(["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"], dtype=object)
    savemat(folder / "devkit/cars_meta.mat", {"class_names": names[None]})
    kind = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    for part, count, file in (
        ("train", train, "devkit/cars_train_annos.mat"),
        ("test", test, "cars_test_annos_withlabels.mat"),
    ):
        table = np.zeros((1, count), dtype=kind)
        (folder / f"cars_{part}").mkdir()
        for number in range(count):
            name = f"{number + 1:05}.jpg"
            table[0, number] = (3, 5, 20, 10 + number, number % 2 + 1, name)
            (folder / f"cars_{part}" / name).write_bytes(encoded(noise(count + number, (24, 20)), "JPEG"))
        savemat(folder / file, {"annotations": table})
    return folder


def test_cars(tmp_path):
    folder = cars(tmp_path / "stanford_cars")
    whole, crops = open_data(f"cars:{tmp_path}"), open_data(f"cars-cropped:{folder}")
    assert whole.classes == ("AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012")
    assert [len(whole.train), len(whole.val), len(whole.test)] == [6, 2, 3]
    by_name = {whole.test.name(index): int(whole.test.labels[index]) for index in range(3)}
    assert by_name == {"cars_test/00001.jpg": 0, "cars_test/00002.jpg": 1, "cars_test/00003.jpg": 0}
    index = next(i for i in range(3) if crops.test.name(i).endswith("00002.jpg"))
    assert np.array_equal(crops.test.read(index), np.asarray(whole.test.read(index))[4:11, 2:20])
    assert any("cars_test_annos_withlabels.mat is not the published file" in note for note in whole.notes)
    (folder / "cars_train/00002.jpg").unlink()
    message = refusal(open_data, f"cars:{folder}")
    assert "names 11 images, 1 of them is missing: the first is cars_train/00002.jpg" in message


def test_cars_with_all_images_in_one_folder(tmp_path):
    sides = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
    kind = [(name, object) for name in ("relative_im_path", *sides, "class", "test")]
    table = np.zeros((1, 10), dtype=kind)
    (tmp_path / "car_ims").mkdir()
    for number in range(10):
        file = f"car_ims/{number + 1:06}.jpg"
        table[0, number] = (file, 1, 2, 8, 6, number % 2 + 1, int(number > 5))
        (tmp_path / file).write_bytes(encoded(noise(number, (10, 12)), "JPEG"))
    names = np.array(["Acura RL Sedan 2012", "smart fortwo Convertible 2012"], dtype=object)[None]
    savemat(tmp_path / "cars_annos.mat", {"annotations": table, "class_names": names})
    splits = open_data(f"cars-cropped:{tmp_path}")
    assert splits.classes == tuple(names[0])
    assert [len(splits.train), len(splits.val), len(splits.test)] == [4, 2, 4]
    assert sorted(map(splits.test.name, range(4)))[0] == "car_ims/000007.jpg"
    assert splits.test.labels.tolist() == [0, 0, 1, 1]
    assert splits.test.read(0).size == (8, 5)


def test_test_annotations_without_classes_are_refused(tmp_path):
    folder = cars(tmp_path)
    table = np.zeros(
        (1, 1), dtype=[(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "fname")]
    )
    table[0, 0] = (1, 1, 2, 2, "00001.jpg")
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": table})
    assert "have no class; the test images' classes are in" in refusal(open_data, f"cars:{folder}")
    (folder / "devkit/cars_train_annos.mat").write_bytes(b"?")
    assert "cars_train_annos.mat: damaged, or not a MATLAB file" in refusal(open_data, f"cars:{folder}")
    (folder / "cars_test_annos_withlabels.mat").unlink()
    shutil.rmtree(folder / "cars_test")
    (folder / "cars_test.tgz").touch()
    message = refusal(open_data, f"cars:{folder}")
    assert "but not cars_test_annos_withlabels.mat, cars_test; unpack cars_test.tgz" in message
    (folder / "cars_test.tgz").unlink()
    assert "but not cars_test_annos_withlabels.mat" in refusal(open_data, f"cars:{folder}")


def test_a_box_outside_of_its_image_is_refused(tmp_path):
    folder = cars(tmp_path)
    (folder / "cars_test/00001.jpg").write_bytes(png(size=(2, 2)))
    assert "00001.jpg: its box 2, 4, 20, 10 lies outside of the image" in refusal(
        open_data, f"cars-cropped:{folder}"
    )
