"""Owners, provenance and use, which all kinds of prototypes have."""

from __future__ import annotations

import pytest
import torch

from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.vectors import VectorPrototypes

CLASSES = ("cat", "dog", "eel")


def test_nothing_is_known_at_first():
    prototypes = PrototypeLayer(PrototypeLayer.class_major(2, 3))
    for name in ("source_index", "activations", "own_activations"):
        assert getattr(prototypes, name).tolist() == [-1] * 6
    assert prototypes.source_distance.isnan().all()
    assert not prototypes.usage_counted
    assert prototypes.unused().tolist() == []


def test_usage_is_counted_once_every_prototype_has_a_count():
    prototypes = PrototypeLayer(PrototypeLayer.class_major(1, 3))
    prototypes.activations.copy_(torch.tensor([0, 5, -1]))
    assert not prototypes.usage_counted
    prototypes.activations[2] = 0
    assert prototypes.usage_counted
    assert prototypes.unused().tolist() == [0, 2]


def test_owners_are_named():
    owners = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert PrototypeLayer(owners).owner_names(CLASSES) == [("cat", "eel"), (), ("dog",)]
    assert PrototypeLayer.class_major(2, 3).int().argmax(dim=1).tolist() == [0, 0, 1, 1, 2, 2]


def test_without_vectors_nothing_trains():
    without, with_vectors = PrototypeLayer(torch.eye(3)), VectorPrototypes(torch.rand(3, 4), torch.eye(3))
    assert (without.has_vectors, with_vectors.has_vectors) == (False, True)
    assert not without.vectors.requires_grad
    assert with_vectors.vectors.requires_grad
    assert len(without) == len(with_vectors) == 3


def test_each_prototype_has_owners():
    with pytest.raises(ValueError, match="3 prototype vectors but owners for 2"):
        VectorPrototypes(torch.rand(3, 4), torch.eye(2))


def test_what_is_kept_keeps_all_that_is_known_of_it():
    prototypes = VectorPrototypes(torch.rand(4, 2, 1, 1), PrototypeLayer.class_major(2, 2))
    prototypes.source_index.copy_(torch.arange(4))
    prototypes.activations.copy_(torch.arange(4) + 10)
    prototypes.vectors.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in prototypes.state_dict().items()}
    prototypes.keep(torch.tensor([3, 0]))
    for name, tensor in prototypes.state_dict().items():
        assert torch.equal(tensor.nan_to_num(7), before[name][[3, 0]].nan_to_num(7)), name
    assert not prototypes.vectors.requires_grad


def test_the_base_has_one_cell_and_neither_maps_nor_places():
    prototypes, latents = PrototypeLayer(torch.eye(3)), torch.rand(2, 4, 5, 6)
    assert prototypes.grid(latents) == (1, 1)
    assert prototypes.source_maps(latents, torch.tensor([0]), torch.tensor([0]), prototypes.vectors) is None
    rows = torch.tensor([0])
    for call in (
        lambda: prototypes(latents),
        lambda: prototypes.maps(latents),
        lambda: prototypes.at(latents, rows, rows),
    ):
        with pytest.raises(NotImplementedError, match="PrototypeLayer"):
            call()
