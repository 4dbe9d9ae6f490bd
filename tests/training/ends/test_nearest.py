"""The nearest patches of two shares of the images, put together as two processes do it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from looking_glass import LookingGlass, Whole, batches
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends import nearest as nearest_module
from resemblance.training.ends.nearest import NearestPatches
from resemblance.training.ends.projection import project


def shares(model, latents, allowed, split):
    """What two processes know of their shares: images with even and with odd indices, or as ``split`` says."""
    known = []
    for part in split:
        nearest = NearestPatches(model.prototypes)
        nearest.update(latents[part], allowed[part], part)
        known.append(nearest)
    return known


def merged(first, second, monkeypatch):
    """The first one, after both were merged, each in a thread that stands for its process.

    All threads must gather the same tensors in the same order: one that waits alone fails after some seconds.
    """
    meeting, sent, rank = threading.Barrier(2, timeout=10), [None, None], threading.local()

    def gathered(tensor):
        sent[rank.number] = tensor
        meeting.wait()
        assert sent[0].shape == sent[1].shape
        assert sent[0].dtype == sent[1].dtype
        tensors = torch.stack(sent)
        meeting.wait()
        return tensors

    def merge(number):
        rank.number = number
        (first, second)[number].merge()

    monkeypatch.setattr(nearest_module, "world", lambda: 2)
    monkeypatch.setattr(nearest_module, "_gathered", gathered)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(merge, range(2)))
    return first


@pytest.mark.parametrize("levels", [None, 2])
def test_two_shares_give_what_all_images_give(levels, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    latents, vectors = (
        torch.rand(12, 3, 4, 5, generator=generator),
        torch.rand(6, 3, 1, 1, generator=generator),
    )
    if levels is not None:  # ties abound
        latents, vectors = (latents * levels).floor(), (vectors * levels).floor()
    model = LookingGlass(vectors, PrototypeLayer.class_major(2, 3), (12, 12))
    allowed = torch.rand(12, 6, generator=generator) < 0.5
    allowed[:, 4] = False  # no image may be its source
    allowed[:, 5] = torch.arange(12) == 3  # one share alone knows it
    whole = NearestPatches(model.prototypes)
    whole.update(latents, allowed, torch.arange(12))
    parts = [torch.arange(0, 12, 2), torch.arange(1, 12, 2)]
    for split in (parts, parts[::-1]):
        both = merged(*shares(model, latents, allowed, split), monkeypatch)
        for name in ("distances", "indices", "cells", "vectors", "maps", "seen"):
            assert torch.equal(getattr(both, name), getattr(whole, name)), name
        assert both.known.tolist() == [True] * 4 + [False, True]
        assert torch.equal(both.seen, allowed.any(dim=0))


@pytest.mark.parametrize("images", [0, 6])
def test_a_share_in_which_no_prototype_has_its_source_is_merged_too(images, monkeypatch):
    """A process may have no maps: it knows neither that others have some, nor, without images, their size."""
    generator = torch.Generator().manual_seed(0)
    latents, vectors = torch.rand(12, 3, 4, 5, generator=generator), torch.rand(6, 3, 1, 1)
    model = LookingGlass(vectors, PrototypeLayer.class_major(2, 3), (12, 12))
    allowed = torch.ones(12, 6, dtype=torch.bool)
    allowed[:6] = False
    whole = NearestPatches(model.prototypes)
    whole.update(latents, allowed, torch.arange(12))
    for swapped in (False, True):
        full, empty = NearestPatches(model.prototypes), NearestPatches(model.prototypes)
        full.update(latents[6:], allowed[6:], torch.arange(6, 12))
        if images:
            empty.update(latents[:6], allowed[:6], torch.arange(6))
        assert empty.maps is None
        both = merged(*((empty, full) if swapped else (full, empty)), monkeypatch)
        assert both.grid == (4, 5)
        for name in ("distances", "indices", "cells", "vectors", "maps", "seen"):
            assert torch.equal(getattr(both, name), getattr(whole, name)), name


def test_a_prototype_without_source_has_no_box():
    model = Whole(torch.rand(3, 12), PrototypeLayer.class_major(1, 3), (20, 30))
    model.traits = LookingGlass.traits
    model.prototypes.source_box.fill_(7)
    project(model, batches(torch.rand(4, 3, 2, 2), torch.tensor([0, 2, 0, 2]), 2))
    assert model.prototypes.source_box.tolist() == [[0, 0, 30, 20], [0, 0, 0, 0], [0, 0, 30, 20]]
    assert model.prototypes.source_index[1] == -1
