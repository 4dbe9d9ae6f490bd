from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.data.attributes import AttributeTable, read_attributes
from resemblance.data.open import open_data
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import ArraySource, Source, Subset

CELEBA = """3
5_o_Clock_Shadow Arched_Eyebrows Male
000001.jpg -1  1 -1
000002.jpg -1 -1  1
000003.jpg  1 -1  1
"""


class Named(Source):
    """Images that have nothing but names."""

    def __init__(self, *names: str) -> None:
        self.names, self.classes = names, ("a", "b")
        self.labels, self.shapes = np.zeros(len(names), np.int64), np.ones((len(names), 3), np.int64)

    def name(self, index: int) -> str:
        return self.names[index]

    def read(self, index: int) -> Image.Image:
        raise NotImplementedError


@pytest.fixture
def table(tmp_path):
    def write(text, name="attributes.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_attributes(path)

    return write


def refused(table, text, message):
    with pytest.raises(UserError, match=message) as error:
        table(text)
    assert "\n" not in str(error.value)
    assert "attributes.csv" in str(error.value)


def test_celebas_format(table):
    celeba = table(CELEBA, "list_attr_celeba.txt")
    assert celeba.names == ("5_o_Clock_Shadow", "Arched_Eyebrows", "Male")
    assert celeba.images == ("000001.jpg", "000002.jpg", "000003.jpg")
    assert celeba.values.astype(int).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 1]]
    assert table(CELEBA.replace("\n", "\r\n")).values.tolist() == celeba.values.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "image,hole,thick\na.png,1,0\nb.png,0,1\n",
        "image;hole;thick\na.png;1;0\nb.png;0;1",
        "image\thole\tthick\na.png\t1\t0\n\nb.png\t0\t1\n",
        "image hole thick\na.png 1 0\nb.png 0 1\n",
        "hole thick\na.png 1 0\nb.png 0 1\n",
        "hole, thick\na.png, 1, -1\nb.png, -1, 1\n",
        "\ufeffimage,hole,thick\r\na.png,True,false\r\nb.png,FALSE,true\r\n",
        "2\nimage hole thick\na.png 1 -1\nb.png -1 1\n",
        '"image","hole","thick"\n"a.png","1","0"\n"b.png","0","1"\n',
    ],
)
def test_the_same_table_in_all_formats(table, text):
    read = table(text)
    assert read.names == ("hole", "thick")
    assert read.images == ("a.png", "b.png")
    assert read.values.tolist() == [[True, False], [False, True]]


@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 1000), st.sampled_from([",", " ", "\t", ";"]))
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, attributes, images, seed, delimiter):
    values = np.random.default_rng(seed).integers(0, 2, (images, attributes))
    names = [f"attribute{n}" for n in range(attributes)]
    lines = [["image", *names], *([f"{n}.png", *map(str, row)] for n, row in enumerate(values))]
    path = tmp_path_factory.mktemp("tables") / "attributes.csv"
    path.write_text("\n".join(delimiter.join(line) for line in lines))
    assert (read_attributes(path).values == values).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table of attributes; expected a line with their names"),
        ("3\n", "no table of attributes"),
        ("image,hole\n", "no images"),
        ("image\na.png\n", "no attributes"),
        ("4\nhole thick\na.png 1 1\nb.png 1 1\n", "announces 4 images in its first line but has 2; cut off"),
        ("image,hole\na.png,1\nb.png,1,0\n", "line 3: 3 fields; expected 2: the image"),
        ("image,hole\na.png,1\nb.png,2\n", "line 3: value '2'; expected 0 or 1, -1 or 1, true or false"),
        ("image,hole\na.png,1\nb.png,\n", "line 3: value ''; expected"),
        ("image,hole\na.png,1\n\nb.png,nan\n", "line 4: value 'nan'"),
        ("image,hole\na.png,1\na.png,1\n", "line 3: image 'a.png' is also in line 2; remove one"),
        ("image,hole,thick\na.png,1,0\nb.png,1,-1\n", "has 0 .line 2. as well as -1 .line 3."),
        ("image,hole,hole\na.png,1,0\n", "two attributes are named 'hole'"),
        ("image,hole,\na.png,1,0\n", "an attribute has no name"),
        (b"image,hole\n\xff\xfe,1\n", "not text in UTF-8"),
        ("image,hole\n\x1b[31ma.png,\x1b[2J\n", r"line 2: value '\\x1b\[2J'"),
    ],
)
def test_every_mistake_is_one_line(table, text, message):
    refused(table, text, message)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"no such table of attributes: .*nothing.csv"):
        read_attributes(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="directory"):
        read_attributes(tmp_path)


def numbered(*rows):
    """A table whose attributes are the number of the row, in binary."""
    values = (np.arange(len(rows))[:, None] >> np.arange(5)) & 1
    return AttributeTable(tuple("abcde"), rows, values.astype(bool), "attributes.csv")


def rows_for(source, *rows):
    return (numbered(*rows).of(source) @ (1 << np.arange(5))).tolist()


@pytest.mark.parametrize(
    ("names", "rows", "expected"),
    [
        (["cat/1.jpg", "dog/1.jpg"], ["dog/1.jpg", "cat/1.jpg"], [1, 0]),  # the same names
        (["train/cat/1.jpg", "train/dog/1.jpg"], ["dog/1.jpg", "cat/1.jpg"], [1, 0]),  # without the split
        (["cat/1.jpg"], ["dog/1.jpg", "./train/cat/1.jpg"], [1]),  # from a folder above
        (["cat/1.jpg", "dog/2.jpg"], ["2.jpg", "1.jpg", "3.jpg"], [1, 0]),  # file names
        (["cat/1.jpg", "dog/2.png"], ["2", "1"], [1, 0]),  # without endings
        (["cat/1.jpg"], ["cat\\1.jpg"], [0]),
        (["a b/c d.jpg"], ["c d.jpg"], [0]),
        (["cat/1.jpg", "1.jpg"], ["1.jpg", "cat/1.jpg"], [1, 0]),
        (["1.jpg", "1.png"], ["1.png", "1.jpg"], [1, 0]),
        (["1.5.jpg", "1.6.jpg"], ["1.6", "1.5"], [1, 0]),  # not an ending
    ],
)
def test_rows_belong_to_images_by_path_or_file_name(names, rows, expected):
    assert rows_for(Named(*names), *rows) == expected


@pytest.mark.parametrize(
    ("names", "rows", "message"),
    [
        (
            ["cat/1.jpg", "cat/2.jpg"],
            ["cat/1.jpg", "cat/3.jpg"],
            "no row for 1 of 2 images, for instance 'cat/2.jpg'",
        ),
        (["train/cat/1.jpg"], ["test/cat/1.jpg"], "none of its 1 names, for instance test/cat/1.jpg fits"),
        (["cat/1.jpg", "dog/1.jpg"], ["1.jpg"], "1.jpg fits several images: cat/1.jpg, dog/1.jpg"),
        (["1.jpg"], ["cat/1.jpg", "dog/1.jpg"], "several annotations fit the image 1.jpg: cat/1.jpg, dog"),
    ],
)
def test_rows_that_fit_no_image_or_several(names, rows, message):
    with pytest.raises(UserError, match=message) as error:
        rows_for(Named(*names), *rows)
    assert "\n" not in str(error.value)


def test_rows_belong_to_images_of_arrays_by_number_or_name():
    source = ArraySource(np.zeros((6, 4, 4, 1), np.uint8), [0] * 6, ["a"], "train-images")
    assert rows_for(source, *"543210") == [5, 4, 3, 2, 1, 0]
    part = Subset(source, [4, 1])
    assert rows_for(part, *"543210") == [1, 4]  # numbers are those of the file
    assert rows_for(Joined(part, Subset(source, [0])), *"012345") == [4, 1, 0]
    assert rows_for(part, "train-images #1", "train-images #4") == [1, 0]
    with pytest.raises(UserError, match="no row for 1 of 2 images, for instance 'train-images #4'"):
        rows_for(part, *"0123")


def test_a_folder_of_images(tmp_path, table):
    for name in ("cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 100).save(tmp_path / "data" / name)
    read = table("4\nfurry tall\n1.png 1 -1\n2.png 1 -1\n3.png -1 -1\n4.png -1 1\n", "list_attr.txt")
    splits = open_data(str(tmp_path / "data"))
    for source in (splits.train, splits.test):
        labels = read.of(source)[:, 0]
        assert labels.tolist() == (source.labels == 0).tolist()
