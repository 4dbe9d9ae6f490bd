"""Regions read from files: laid over what the model reads, matched by name, and refused with one line."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data import open_data
from resemblance.data.images import read_image
from resemblance.data.regions import Regions, open_regions
from resemblance.data.regions.cub_parts import PARTS, cub_parts, read_cub
from resemblance.data.regions.mask_files import MaskFiles
from resemblance.data.sources.source import Source, Subset, picture
from resemblance.data.transforms import to_tensor


class Named(Source):
    """Images by name."""

    def __init__(self, images):
        self.images = list(images.items())
        self.classes, self.labels = ("a",), np.zeros(len(images), np.int64)
        self.shapes = np.array([image.shape for image in images.values()])

    def read(self, index):
        return picture(self.images[index][1])

    def name(self, index):
        return self.images[index][0]


def source(sizes):
    return Named({name: np.zeros((*size, 1), np.uint8) for name, size in sizes.items()})


def spec(height, width, **options):
    return ImageSpec(height, width, 1, (0.5,), (0.5,), **options)


def saved(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


SIZES = {"train/a/1.jpg": (30, 40), "train/b/1.jpg": (40, 20), "train/b/2.jpg": (16, 16)}


def disc(height, width, value=255):
    y, x = np.mgrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 3) ** 2 < (min(height, width) / 3) ** 2
    return inside.astype(np.uint8) * value


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_a_mask_lies_where_its_picture_lies(tmp_path, resize):
    """The mask, drawn as a picture and prepared as one, is the mask that the reader returns, but at its edge."""
    masks = {name: disc(*size) for name, size in SIZES.items()}
    path = zipped(
        tmp_path / "masks.zip", {name.replace("jpg", "png"): saved(mask) for name, mask in masks.items()}
    )
    images = Named({name: mask[:, :, None] for name, mask in masks.items()})
    model = spec(28, 32, resize=resize)
    regions = MaskFiles(images, path).batch([2, 0, 1], model)
    for row, index in enumerate([2, 0, 1]):
        drawn = to_tensor(images.read(index), model)[0]
        sure = (drawn < 0.1) | (drawn > 0.9)
        if resize == "pad":  # whose padding is not black
            sure[:, :3], sure[:, -3:] = False, False
            height, width = SIZES[images.name(index)]
            left = round((32 - width * min(28 / height, 32 / width)) / 2)
            sure[:, :left], sure[:, 32 - left :] = False, False
        assert sure.sum() > 200
        assert torch.equal(regions.masks[row][sure], (drawn > 0.5)[sure])
    assert regions.names == ("object",)
    assert regions.shown.all()


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_boxes_and_points_move_with_the_picture(tmp_path, resize):
    images = source({"one.png": (60, 90)})
    (tmp_path / "head.csv").write_text("file,x0,y0,x1,y1\none.png,30,20,60,40\n")
    reader = open_regions(f"boxes:{tmp_path}/head.csv", images)
    boxes = reader.batch([0], spec(30, 30, resize=resize)).boxes[0, 0].tolist()
    expected = {
        "squash": [10, 10, 20, 20],
        "crop": [7.5, 10, 22.5, 20],  # 30 × 45, of which the middle 30 columns are seen
        "pad": [10, 11.67, 20, 18.33],  # 20 × 30, 5 rows of padding above
    }[resize]
    assert boxes == pytest.approx(expected, abs=0.05)
    assert reader.names == ("head",)


def test_what_the_model_does_not_see_is_not_visible(tmp_path):
    images = source({"one.png": (20, 100)})
    (tmp_path / "b.csv").write_text("file,x0,y0,x1,y1\none.png,0,0,10,10\none.png,35,0,50,10\n")
    regions = open_regions(f"boxes:{tmp_path}/b.csv", images).batch([0], spec(20, 20, resize="crop"))
    assert regions.shown.tolist() == [[False, True]]
    assert regions.boxes[0, 1].tolist() == [0, 0, 10, 10]
    assert regions.visible_parts().tolist() == [[True]]


def test_parts_have_columns_for_the_most_boxes_of_an_image(tmp_path):
    rows = ["path,part,x0,y0,x1,y1,note", "1.png,eye,1,1,2,2,x", "1.png,ear,0,0,3,3,", "2.png,eye,4,4,5,5,"]
    (tmp_path / "b.csv").write_text("\n".join([*rows, "2.png,eye,6,6,7,7,y"]))
    reader = open_regions(
        f"boxes:{tmp_path}/b.csv", source({"1.png": (8, 8), "2.png": (8, 8), "3.png": (8, 8)})
    )
    regions = reader.batch([0, 1, 2], spec(8, 8))
    assert reader.names == ("ear", "eye")
    assert regions.part_of.tolist() == [0, 1, 1]
    assert regions.shown.tolist() == [[True, True, False], [False, True, True], [False, False, False]]
    assert regions.visible_parts().tolist() == [[True, True], [False, True], [False, False]]
    assert reader.missing == (2,)
    assert reader.notes == [f"{tmp_path}/b.csv: 1 image has no box, and do not count: 3.png"]


def test_names_match_by_their_ends(tmp_path):
    masks = {f"pets/{name[:-4]}.png": saved(disc(*size)) for name, size in SIZES.items()}
    path = zipped(tmp_path / "masks.zip", masks)
    assert MaskFiles(source(SIZES), path).rows == [0, 1, 2]
    bare = {"1.jpg": (30, 40)}
    with pytest.raises(UserError, match=r"several annotations fit the image 1\.jpg: pets/train/a/1\.png, "):
        MaskFiles(source(bare), path)
    flat = zipped(tmp_path / "flat.zip", {"1.png": saved(disc(30, 40))})
    with pytest.raises(UserError, match=r"1\.png fits several images: train/a/1\.jpg, train/b/1\.jpg"):
        MaskFiles(source(SIZES), flat)
    with pytest.raises(
        UserError, match=r"none of its 3 names, for instance .* fits an image; expected names like x"
    ):
        MaskFiles(source({"x": (8, 8)}), path)


def test_values_inside_and_palettes(tmp_path):
    trimap = np.repeat(np.array([[1, 2, 3]], np.uint8), 3, axis=0)
    palette = Image.fromarray(trimap).convert("P")
    palette.putdata(trimap.flatten().tolist())
    palette.putpalette([0, 0, 0, 255, 255, 255, 9, 9, 9, 3, 3, 3])
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    path = zipped(
        tmp_path / "t.zip", {"1.png": saved(trimap), "2.png": buffer.getvalue(), "3.png": saved(trimap > 1)}
    )
    images = source({f"{number}.jpg": (3, 3) for number in (1, 2, 3)})
    first = [[True, False, False]] * 3
    trimaps = open_regions(f"trimaps:{path}", images).batch([0, 1], spec(3, 3))
    assert trimaps.masks.tolist() == [first, first]
    assert MaskFiles(images, path, above=2).batch([0], spec(3, 3)).masks.sum() == 3
    assert open_regions(f"masks:{path}", images).batch([2], spec(3, 3)).masks.sum() == 6


def test_an_empty_mask_is_not_visible(tmp_path):
    path = zipped(tmp_path / "m.zip", {"1.png": saved(np.zeros((4, 4), np.uint8))})
    regions = MaskFiles(source({"1.png": (4, 4)}), path).batch([0], spec(4, 4))
    assert regions.shown.tolist() == [[False]]


def refused(text, images):
    with pytest.raises(UserError) as error:
        open_regions(text, images).batch([0], spec(8, 8))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_mismatch_has_one_clear_line(tmp_path):
    images = source({"1.png": (8, 8)})
    assert "expected KIND:PATH" in refused("heads.csv", images)
    assert "no such folder" in refused(f"masks:{tmp_path}/none", images)
    assert "contains no image files" in refused(f"masks:{tmp_path}", images)
    wrong = zipped(tmp_path / "wrong.zip", {"1.png": saved(disc(8, 9))})
    assert "has 9x8 pixels, but its image 1.png has 8x8" in refused(f"masks:{wrong}", images)
    broken = zipped(tmp_path / "broken.zip", {"1.png": b"no picture"})
    assert "not a readable mask" in refused(f"masks:{broken}", images)
    for text, message in {
        "": "expected the columns",
        "file,x0,y0,x1\n": "expected the columns",
        "file,x0,y0,x1,y1\n1.png,0,0,4\n": "row 2 has 4 cells, not 5",
        "file,x0,y0,x1,y1\n1.png,0,0,4,b\n": "row 2: 0, 0, 4, b is not a box",
        "file,x0,y0,x1,y1\n1.png,4,0,4,5\n": "is not a box",
        "file,x0,y0,x1,y1\n1.png,0,0,nan,5\n": "is not a box",
        "file,x0,y0,x1,y1\n1.png,0,0,12,5\n": "row 2: the box 0, 0, 12, 5 does not lie within its image 1.png of 8x8",
        "file,x0,y0,x1,y1\n7.png,0,0,2,5\n": "fits an image",
        "file,x0,y0,x1,y1\n": "none of its 0 names",
        "file,x0,y0,x1,y1\n\udcff": "not a readable CSV",
    }.items():
        (tmp_path / "b.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert message in refused(f"boxes:{tmp_path}/b.csv", images)
    assert "not a readable CSV" in refused(f"boxes:{tmp_path}/none.csv", images)
    assert "no such folder" in refused(f"cub:{tmp_path}/none.zip", images)


def cub(tmp_path, **changes):
    """Annotations of two images, the second of them with only its left eye, numbered from 7."""
    lines = []
    for image in (7, 8):
        for part in range(1, 16):
            visible = image == 7 or part == 7
            lines.append(f"{image} {part} {10.0 + part} {20.0 + image} {int(visible)}")
    files = {
        "images.txt": "7 001.A/x.jpg\n8 002.B/y.jpg\n",
        "image_class_labels.txt": "8 2\n7 1\n",
        "train_test_split.txt": "7 1\n8 0\n",
        "bounding_boxes.txt": "7 10.0 20.0 30.0 10.0\n8 0.0 0.0 40.0 40.0\n",
        "parts/part_locs.txt": "\n".join(lines),
        **changes,
    }
    return zipped(tmp_path / "cub.zip", {f"CUB_200_2011/{name}": text for name, text in files.items()})


def test_cub_by_hand(tmp_path):
    path = cub(tmp_path)
    annotations = read_cub(path)
    assert annotations.labels.tolist() == [0, 1]
    assert annotations.test.tolist() == [False, True]
    assert annotations.boxes.tolist() == [[10, 20, 40, 30], [0, 0, 40, 40]]
    assert annotations.cropped_points((224, 224))[0, 0].tolist() == pytest.approx([224 / 30, 224 * 7 / 10])
    images = source({"images/002.B/y.jpg": (40, 40), "images/001.A/x.jpg": (50, 60)})
    whole = cub_parts(images, path).batch([1, 0], spec(100, 120))
    assert whole.points[0, 0].tolist() == [22.0, 54.0]
    assert whole.shown.sum(dim=1).tolist() == [15, 1]
    merged = cub_parts(images, path, merge_sides=True)
    assert merged.names == tuple(
        part
        for part in [
            "back",
            "beak",
            "belly",
            "breast",
            "crown",
            "forehead",
            "eye",
            "leg",
            "wing",
            "nape",
            "tail",
            "throat",
        ]
    )
    assert merged.batch([0], spec(40, 40)).visible_parts().nonzero().tolist() == [
        [0, merged.names.index("eye")]
    ]
    crops = source({"001.A/x.jpg": (10, 30)})
    assert open_regions(f"cub-crops:{path}", crops).batch([0], spec(10, 30)).points[0, 0].tolist() == [
        1.0,
        7.0,
    ]


def test_damaged_cub_is_refused(tmp_path):
    images = source({"001.A/x.jpg": (10, 30)})
    for changes, message in (
        ({"images.txt": "7 a b\n"}, "a row does not have 2 columns"),
        (
            {"bounding_boxes.txt": "7 1 1 1 1\n"},
            "bounding_boxes.txt has 1 rows; expected 1 for each of 2 images",
        ),
        ({"bounding_boxes.txt": "7 1 1 1 1\n9 1 1 1 1\n"}, "which images.txt lacks"),
        ({"train_test_split.txt": "7 1\n8 x\n"}, "not a table of numbers"),
        ({"images.txt": "7 001.A/x.jpg\n7 002.B/y.jpg\n"}, "has an image twice"),
        ({"parts/part_locs.txt": "7 1 1 1 1\n" * 30}, "does not list parts 1 to 15"),
        ({"images.txt": b"\xff\xfe"}, "not a text file"),
    ):
        assert message in refused(f"cub:{cub(tmp_path, **changes)}", images)


def test_cub_as_it_is(real_data):
    annotations = read_cub(real_data("cub200-2011-annotations") / "CUB_200_2011_annotations.zip")
    assert (len(annotations.files), annotations.test.sum(), annotations.visible.sum()) == (
        11788,
        5794,
        141407,
    )
    assert len(set(annotations.labels.tolist())) == 200
    assert len(PARTS) == 15


def test_pets_as_they_are(real_data):
    folder = real_data("oxford-pets-three")
    splits = open_data(str(folder / "images.zip"))
    few = Subset(splits.train, range(0, len(splits.train), 40))
    trimaps = open_regions(f"trimaps:{folder}/trimaps.zip", few)
    heads = open_regions(f"boxes:{folder}/heads.csv", few)
    assert trimaps.missing == ()
    model = spec(64, 64)
    indices = range(len(few))
    masks, boxes = trimaps.batch(indices, model), heads.batch(indices, model)
    assert masks.masks.flatten(1).any(dim=1).all()
    assert 0.15 < masks.masks.double().mean() < 0.6
    assert boxes.visible_parts().double().mean() > 0.9
    # Heads lie on animals: most of a head's box is marked, more than of the image.
    inside = boxes.as_masks()
    on_head = (inside & masks.masks).sum() / inside.sum()
    assert on_head > 0.6 > masks.masks.double().mean()
    # The boxes of the animals in images.csv are those of the masks.
    with zipfile.ZipFile(folder / "trimaps.zip") as archive:
        name = few.name(0)
        trimap = np.asarray(Image.open(io.BytesIO(archive.read(name[:-4] + ".png"))))
    assert trimap.shape == read_image(zipfile.ZipFile(folder / "images.zip").read(name)).size[::-1]
    with pytest.raises(UserError, match="fits an image"):
        open_regions(f"boxes:{folder}/heads.csv", Subset(splits.test, range(4)))  # training images only


def test_regions_of_one_kind_and_one_shape():
    with pytest.raises(ValueError, match="given are none"):
        Regions((4, 4))
    with pytest.raises(ValueError, match="masks and points"):
        Regions((4, 4), masks=torch.ones(1, 4, 4), points=torch.ones(1, 1, 2))
    with pytest.raises(ValueError, match="for images of"):
        Regions((4, 4), masks=torch.ones(1, 5, 4))
    with pytest.raises(ValueError, match="columns"):
        Regions((4, 4), points=torch.ones(1, 2, 2), visible=torch.ones(1, 3).bool())
    with pytest.raises(ValueError, match="no points"):
        Regions((4, 4), masks=torch.ones(1, 4, 4)).as_points()
