"""Find the columns of a table of labels by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# Names as tables have them, without case, spaces and punctuation; the first that a table has is taken.
FILE = (
    *(
        "filename",
        "file",
        "filepath",
        "path",
        "imagepath",
        "imagefile",
        "imagename",
        "image",
        "imageid",
        "imageindex",
    ),
    *("img", "imgname", "imgpath", "imgid", "isicid", "picture", "photo", "name", "id", "idcode", "uid"),
)
CLASS = (
    *("class", "label", "classname", "labelname", "category", "categoryname", "target", "diagnosis", "dx"),
    *(
        "labels",
        "classes",
        "findinglabels",
        "species",
        "breed",
        "variety",
        "classid",
        "labelid",
        "grade",
        "y",
    ),
)
SPLIT = ("split", "set", "subset", "partition", "phase", "usage", "fold")
GROUP = (
    *(
        "group",
        "groupid",
        "patient",
        "patientid",
        "subject",
        "subjectid",
        "person",
        "personid",
        "case",
        "caseid",
    ),
    *("individual", "individualid", "animal", "animalid", "camera", "cameraid", "location", "locationid"),
    *(
        "lesion",
        "lesionid",
        "study",
        "studyid",
        "sequence",
        "sequenceid",
        "video",
        "videoid",
        "session",
        "sessionid",
    ),
)
FEWEST_ONE_HOT = 2


class Columns(NamedTuple):
    """The numbers of the columns of a table; None for one that it does not have.

    Args:
        file: of the image's file.
        label: of the class.
        split: of the split.
        group: of the group.
        one_hot: of several columns, one per class, that hold 0 or 1.
    """

    file: int | None
    label: int | None
    split: int | None
    group: int | None
    one_hot: tuple[int, ...] = ()

    @property
    def classes(self) -> bool:
        """Whether the table names classes."""
        return self.label is not None or bool(self.one_hot)


def find_columns(header: Sequence[str], rows: Sequence[Sequence[str]], label: str | None = None) -> Columns:
    """Find the columns of files, classes, splits and groups.

    Args:
        header: the names of the columns.
        rows: the first rows, by which columns of 0 and 1, one per class, are recognised.
        label: the name of the column of classes, if it is known.

    Example:
        >>> find_columns(["Image Index", "Finding Labels", "Patient ID"], [])
        Columns(file=0, label=1, split=None, group=2, one_hot=())
    """
    names = [simplified(name) for name in header]
    chosen = None if label is None else _first(names, (simplified(label),), set())
    used = {number for number in (chosen,) if number is not None}
    file = _first(names, FILE, used)
    used |= {number for number in (file,) if number is not None}
    if label is None:
        chosen = _first(names, CLASS, used)
    used |= {number for number in (chosen,) if number is not None}
    split = _first(names, SPLIT, used)
    used |= {number for number in (split,) if number is not None}
    group = _first(names, GROUP, used)
    used |= {number for number in (group,) if number is not None}
    one_hot = () if chosen is not None or label is not None else _one_hot(len(names), rows, used)
    return Columns(file, chosen, split, group, one_hot)


def simplified(name: str) -> str:
    """Return the name of a column without case, spaces and punctuation.

    Example:
        >>> simplified(" Patient_ID ")
        'patientid'
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def _first(names: Sequence[str], wanted: Sequence[str], used: set[int]) -> int | None:
    places = {name: number for number, name in reversed(list(enumerate(names))) if number not in used}
    return next((places[name] for name in wanted if name in places), None)


def _one_hot(count: int, rows: Sequence[Sequence[str]], used: set[int]) -> tuple[int, ...]:
    """Return the columns of 0 and 1 if exactly one of them is 1 in each row."""
    full = [row for row in rows if len(row) == count]
    numbers = [number for number in range(count) if number not in used]
    binary = tuple(
        number for number in numbers if full and all(as_bit(row[number]) is not None for row in full)
    )
    if len(binary) < FEWEST_ONE_HOT or any(sum(as_bit(row[n]) or 0 for n in binary) != 1 for row in full):
        return ()
    return binary


def as_bit(text: str) -> int | None:
    """Return 0 or 1 for the texts that mean it in a table; None for others."""
    return {"0": 0, "1": 1, "0.0": 0, "1.0": 1}.get(text.strip())
