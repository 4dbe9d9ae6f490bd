"""Prototypes with vectors, under every geometry, against plain loops in float64."""

from __future__ import annotations

import math

import pytest
import torch

from resemblance.prototypes.geometry import InnerProduct, SquaredDistance
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.similarity import linear_similarity
from resemblance.prototypes.vectors import VectorPrototypes


def squared(patch, vector):
    return sum((a - b) ** 2 for a, b in zip(patch, vector, strict=True))


def inner(patch, vector, unit_vectors=False, unit_patches=False):
    product = sum(a * b for a, b in zip(patch, vector, strict=True))
    if unit_vectors:
        product /= math.sqrt(sum(b * b for b in vector))
    if unit_patches:
        product /= math.sqrt(sum(a * a for a in patch))
    return -product


GEOMETRIES = {
    "squared": (SquaredDistance(), squared),
    "exact": (SquaredDistance(exact=True), squared),
    "inner": (InnerProduct(), inner),
    "projection": (InnerProduct(unit_vectors=True), lambda z, p: inner(z, p, unit_vectors=True)),
    "directions": (InnerProduct(unit_patches=True), lambda z, p: inner(z, p, unit_patches=True)),
    "cosine": (InnerProduct(True, True), lambda z, p: inner(z, p, True, True)),
}
every = pytest.mark.parametrize("name", GEOMETRIES)
# Cells, windows and whole images; inner products are of single cells.
SHAPES = [
    (name, shape)
    for name, (geometry, _) in GEOMETRIES.items()
    for shape in ((1, 1), (2, 3), ())
    if shape != (2, 3) or isinstance(geometry, SquaredDistance)
]


def scene(name, shape=(1, 1), grid=(3, 4), images=5):
    """Prototypes of that shape, and latents with two channels more than they have; whole images: shape ()."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.rand(6, 3, *shape, generator=generator)
    latents = torch.rand(images, 5, *(grid if shape else ()), generator=generator)
    geometry = GEOMETRIES[name][0]
    owners = PrototypeLayer.class_major(2, 3)
    return VectorPrototypes(vectors, owners, geometry, activation=linear_similarity), latents


def plain(name, prototypes, latents):
    """Distances (B, P, H', W') of all windows; of whole images H' and W' are 1."""
    vectors = prototypes.vectors.detach().double()
    latents = latents.double()[:, :3]
    if latents.dim() == 2:
        latents, vectors = latents[:, :, None, None], vectors[:, :, None, None]
    height, width = vectors.shape[2:]
    rows, columns = latents.shape[2] - height + 1, latents.shape[3] - width + 1
    distances = torch.zeros(len(latents), len(vectors), rows, columns, dtype=torch.float64)
    for b in range(len(latents)):
        for j, vector in enumerate(vectors):
            for y in range(rows):
                for x in range(columns):
                    window = latents[b, :, y : y + height, x : x + width]
                    distances[b, j, y, x] = GEOMETRIES[name][1](
                        window.flatten().tolist(), vector.flatten().tolist()
                    )
    return distances


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_answers_agree_with_plain_loops(name, shape):
    prototypes, latents = scene(name, shape)
    expected = plain(name, prototypes, latents)
    smallest, cells = expected.flatten(2).min(dim=2)
    comparison, match = prototypes(latents), prototypes.match(latents)
    assert torch.allclose(comparison.similarities.double(), -smallest, atol=1e-5)
    assert torch.allclose(comparison.extras["distances"].double(), smallest, atol=1e-5)
    assert torch.allclose(match.values.double(), smallest, atol=1e-5)
    assert torch.equal(match.cells, cells)
    assert not match.values.requires_grad
    if shape:
        which = torch.tensor([4, 1])
        assert torch.allclose(prototypes.maps(latents).double(), -expected, atol=1e-5)
        assert torch.allclose(prototypes.maps(latents, which).double(), -expected[:, which], atol=1e-5)
    else:
        with pytest.raises(NotImplementedError, match="no similarity maps"):
            prototypes.maps(latents)


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_chosen_pairs_are_measured_exactly(name, shape, monkeypatch):
    prototypes, latents = scene(name, shape)
    expected = plain(name, prototypes, latents)
    rows, which = torch.tensor([0, 4, 2, 2]), torch.tensor([5, 0, 3, 1])
    for chunk in (1 << 22, 1):
        monkeypatch.setattr("resemblance.prototypes.vectors.CHUNK", chunk)
        places = prototypes.at(latents, rows, which)
        smallest, cells = expected[rows, which].flatten(1).min(dim=1)
        assert places.values.dtype == torch.float64
        assert torch.allclose(places.values, smallest, rtol=1e-12, atol=1e-12)
        assert torch.equal(places.cells, cells)
        assert places.present.all()
        maps = prototypes.source_maps(latents, rows, which, prototypes.vectors.detach()[which])
        if not shape:
            assert maps is None
            assert places.boxes.tolist() == [[[0, 0, 1, 1]]] * 4
            assert torch.equal(places.vectors, latents[rows, :3])
            continue
        assert torch.allclose(maps.double(), -expected[rows, which], atol=1e-6)
        (height, width), columns = shape, expected.shape[3]
        for n, cell in enumerate(cells.tolist()):
            y, x = divmod(cell, columns)
            patch = latents[rows[n], :3, y : y + height, x : x + width]
            assert torch.equal(places.vectors[n], patch)
            box = [x / 4, y / 3, (x + width) / 4, (y + height) / 3]  # shares of the map of 3×4 cells
            assert places.boxes[n, 0].tolist() == pytest.approx(box)


@every
def test_a_window_that_is_the_prototype_itself_comes_first(name):
    prototypes, latents = scene(name)
    with torch.no_grad():
        prototypes.vectors[2] = latents[3, :3, 1:2, 2:3]
        latents[3, :3, 2, 3] = 5 * latents[3, :3, 1, 2]  # as near in direction, and longer
    places = prototypes.at(latents, torch.tensor([3, 0]), torch.tensor([2, 2]))
    assert places.values[0] == -torch.inf
    assert places.cells[0] == 1 * 4 + 2
    assert places.values[1].isfinite()


@every
def test_latents_that_are_not_finite_have_a_place_too(name):
    prototypes, latents = scene(name)
    places = prototypes.at(latents * torch.nan, torch.tensor([0]), torch.tensor([1]))
    assert places.values.isnan()
    assert 0 <= places.cells[0] < 12


@pytest.mark.parametrize(("name", "shape"), SHAPES)
@pytest.mark.parametrize(("precision", "unit"), [("highest", None), ("high", 2.0**-10), ("medium", 2.0**-7)])
@pytest.mark.parametrize("channels_beyond", [0, 1000])
def test_the_rounding_error_is_that_of_the_arithmetic(
    name, shape, precision, unit, channels_beyond, monkeypatch
):
    """Twice a dot product's relative error, by the size of the numbers that are added up.

    Channels of the latents that are not compared do not count.
    """
    geometry = GEOMETRIES[name][0]
    prototypes, latents = scene(name, shape)
    latents[2] *= 30
    latents[:, 3:] = channels_beyond
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    length = 3 * math.prod(shape)
    longest = latents[:, :3].double().square().sum(dim=1).max() * math.prod(shape)
    longest = longest.sqrt()
    lengths = prototypes.vectors.detach().double().flatten(1).norm(dim=1)
    if isinstance(geometry, SquaredDistance):
        size = (longest + lengths).square()
    else:
        size = torch.ones(6) if geometry.unit_vectors else lengths
        size = size * (1 if geometry.unit_patches else longest)
    unit = 2.0**-24 * (8 + length / 8) if unit is None else unit
    bound = prototypes.rounding_error(latents)
    assert torch.allclose(bound.double(), 2 * unit * size.double(), rtol=1e-5)
    rows, which = torch.arange(5).repeat_interleave(6), torch.arange(6).repeat(5)
    exact = prototypes.at(latents, rows, which).values.reshape(5, 6)
    assert ((prototypes.match(latents).values - exact).abs() <= bound).all()


@every
def test_cells_and_prototypes_of_zeros_are_compared_too(name):
    prototypes, latents = scene(name)
    with torch.no_grad():
        prototypes.vectors[0] = 0
    latents[1] = 0
    rows, which = torch.tensor([1, 1, 0]), torch.tensor([0, 1, 0])
    places = prototypes.at(latents, rows, which)
    assert not places.values.isnan().any()
    assert places.values[0] == -torch.inf  # it is the prototype itself
    match = prototypes.match(latents).values[rows, which].double()
    assert torch.allclose(match[1:], places.values[1:], atol=1e-5)
