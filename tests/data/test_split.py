"""Splits keep every class in training, and depend only on labels, fraction and seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resemblance.data.open import open_data
from resemblance.data.sources.source import ArraySource
from resemblance.data.sources.split import complete, stratified_split

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=120).map(
    lambda labels: np.array(labels, dtype=np.int64)
)


@settings(max_examples=100, deadline=None)
@given(labels=LABELS, fraction=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_stratified_split(labels, fraction, seed):
    stay, held = stratified_split(labels, fraction, seed)
    assert sorted([*stay, *held]) == list(range(len(labels)))
    assert (np.diff(stay) > 0).all()
    assert (np.diff(held) > 0).all()
    for label in np.unique(labels):
        count, given_up = (labels == label).sum(), (labels[held] == label).sum()
        if fraction == 0 or count == 1:
            assert given_up == 0
        else:
            assert 1 <= given_up < count
            assert abs(given_up - fraction * count) <= 1
    again = stratified_split(labels, fraction, seed)
    np.testing.assert_array_equal(again[0], stay)


def test_seeds_differ():
    labels = np.zeros(100, dtype=np.int64)
    assert stratified_split(labels, 0.2, 0)[1].tolist() != stratified_split(labels, 0.2, 1)[1].tolist()


@pytest.mark.parametrize("hold_test", [True, False])
def test_complete(hold_test):
    source = ArraySource(
        np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1), np.arange(100) % 4, tuple("abcd")
    )
    notes = ["before"]
    splits = complete({"train": source}, "name", notes, seed=0, val_fraction=0.25, hold_test=hold_test)
    parts = [part for part in (splits.train, splits.val, splits.test) if part is not None]
    assert sorted(int(value) for part in parts for value in part.array.ravel()) == list(range(100))
    assert [len(part) for part in parts] == ([60, 20, 20] if hold_test else [76, 24])
    assert notes == ["before"]
    assert len(splits.notes) == (3 if hold_test else 2)


def test_no_seed_trains_on_another_seeds_test_images():
    first, second = open_data("digits", seed=0), open_data("digits", seed=1)
    assert first.test.name(0) == second.test.name(0)
    names = {second.train.name(i) for i in range(len(second.train))}
    assert not names & {first.test.name(i) for i in range(len(first.test))}
    assert names != {first.train.name(i) for i in range(len(first.train))}


@pytest.mark.parametrize(
    ("sizes", "share"),
    [((2, 2, 2), "50%"), ((100, 60), "10%"), ((14, 20, 1), "0% to 10%")],
)
def test_the_note_says_the_share_that_was_really_taken(sizes, share):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    source = ArraySource(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, tuple("abc"[: len(sizes)]))
    splits = complete({"train": source}, "name", [], seed=3, val_fraction=0.1, hold_test=False)
    notes = [f"{len(splits.val)} validation images split off ({share} of each class, seed 3)"]
    if 1 in sizes:
        notes.append("the validation images that were split off have none of c: these have only one image")
    assert splits.notes == notes
