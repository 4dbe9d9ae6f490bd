"""What runs on one page learn from each other: the black box's accuracy, and which images all of them explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from resemblance.report.content import RunReport


def fill_in_black_box(pages: Sequence[RunReport]) -> None:
    """Give a model that knows no black box the accuracy of one that stands on the same page.

    It must have been measured on the same data, and on as many images of the same classes.

    Example:
        >>> import numpy as np
        >>> from resemblance.report.content import SplitResult
        >>> def page(name, right):
        ...     return RunReport(name, name, ("a", "b"), data="d", results=[SplitResult("test", np.diag([right, 5]))])
        >>> pages = [page("blackbox", 5), page("protopnet", 5)]
        >>> fill_in_black_box(pages)
        >>> pages[1].results[0].gap, pages[0].results[0].gap is None
        (0.0, True)
    """
    boxes = [page for page in pages if page.method == "blackbox"]
    for page in pages:
        if page.method == "blackbox":
            continue
        for number, result in enumerate(page.results):
            for box in boxes:
                same = box.data == page.data and box.classes == page.classes
                other = next((one for one in box.results if one.name == result.name), None)
                if same and result.black_box is None and other is not None and other.images == result.images:
                    page.results[number] = replace(result, black_box=other.accuracy)
                    break


def shared_wrong(wrong: Sequence[Sequence[int] | None]) -> list[int] | None:
    """Return the images that any of several models misclassifies, one of each model in turn.

    Args:
        wrong: the images that each model misclassifies, in the order in which they are to be shown.

    Returns:
        None if they are not known of one of the models.

    Example:
        >>> shared_wrong([[3, 1, 5], [1, 2]]), shared_wrong([[3], None])
        ([3, 1, 2, 5], None)
    """
    known = [one for one in wrong if one is not None]
    if len(known) < len(wrong):
        return None
    turns = zip_longest(*known)
    return list(dict.fromkeys(index for turn in turns for index in turn if index is not None))
