"""Distances and similarities, compared with the fact sheet and simple loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resemblance.prototypes import similarity
from resemblance.prototypes.similarity import (
    linear_similarity,
    log_similarity,
    nearest_patches,
    pairwise_squared,
    squared_distances,
)


@pytest.mark.parametrize(
    ("squared", "expected"),
    [(0.0, 9.210340), (0.25, 1.609038), (1.0, 0.693047), (4.0, 0.223119), (3.0, 0.28765)],
)
def test_log_similarity_has_the_papers_values(squared, expected):
    assert log_similarity(torch.tensor(squared, dtype=torch.float64)).item() == pytest.approx(
        expected, abs=5e-6
    )


def test_log_similarity_with_another_epsilon():
    assert log_similarity(torch.tensor(0.0), 1e-8).item() == pytest.approx(18.420681, abs=1e-5)


def test_log_similarity_still_ranks_far_distances():
    far = torch.tensor([1e5, 1.001e5, 1e7, 1e9])
    similarities = log_similarity(far)
    assert (similarities > 0).all()
    assert (similarities.diff() < 0).all()


def test_linear_similarity_is_the_negative_distance():
    assert linear_similarity(torch.tensor([2.0])).item() == -2.0


def plain_distances(latents, vectors):
    batch, _, rows, columns = latents.shape
    count, _, height, width = vectors.shape
    out = torch.zeros(batch, count, rows - height + 1, columns - width + 1, dtype=latents.dtype)
    for b in range(batch):
        for p in range(count):
            for y in range(out.shape[2]):
                for x in range(out.shape[3]):
                    window = latents[b, :, y : y + height, x : x + width]
                    out[b, p, y, x] = ((window - vectors[p]) ** 2).sum()
    return out


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    count=st.integers(1, 5),
    depth=st.integers(1, 6),
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 2**16),
)
def test_squared_distances_agree_with_plain_loops(batch, count, depth, size, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.rand(batch, depth, *size, generator=generator, dtype=torch.float64)
    vectors = torch.rand(count, depth, *shape, generator=generator, dtype=torch.float64)
    expected = plain_distances(latents, vectors)
    assert torch.allclose(squared_distances(latents, vectors), expected, atol=1e-12)
    values, cells = nearest_patches(latents, vectors)
    assert torch.allclose(values, expected.flatten(2).amin(2), atol=1e-12)
    assert torch.equal(cells, squared_distances(latents, vectors).flatten(2).argmin(2))


@pytest.mark.parametrize("side", [1, 2])
def test_squared_distances_are_never_negative_and_zero_at_the_prototype(side):
    latents = 3 * torch.rand(8, 128, 7, 7, generator=torch.Generator().manual_seed(0))
    vectors = latents[:, :, 2 : 2 + side, 3 : 3 + side].clone()
    distances = squared_distances(latents, vectors)
    assert (distances >= 0).all()
    assert torch.equal(distances[torch.arange(8), torch.arange(8), 2, 3], torch.zeros(8))


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 40),
    count=st.integers(1, 30),
    depth=st.sampled_from([1, 3, 16, 128]),
    side=st.integers(1, 2),
    offset=st.sampled_from([0.0, 1e-4, 1e-2, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_distances_beside_prototypes_are_accurate_and_independent_of_the_batch(
    batch, count, depth, side, offset, seed
):
    """Each prototype is a patch of some image, moved by the offset."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.rand(batch, depth, 4, 5, generator=generator)
    images, row, column = torch.arange(count) % batch, seed % 3, seed % 4
    vectors = latents[images, :, row : row + side, column : column + side]
    vectors = vectors + offset * torch.rand(vectors.shape, generator=generator)
    values, cells = nearest_patches(latents, vectors)
    maps = squared_distances(latents, vectors).flatten(2)
    assert torch.equal(maps.amin(dim=2), values)
    assert torch.equal(maps.gather(2, cells[:, :, None])[:, :, 0], values)
    accurate = plain_distances(latents.double(), vectors.double()).flatten(2)
    selected = accurate.gather(2, cells[:, :, None])[:, :, 0]
    assert torch.allclose(values.double(), selected, rtol=1e-5, atol=1e-13)
    rounding = 1e-6 * (latents.square().sum(dim=1).max() * side**2 + vectors.square().sum(dim=(1, 2, 3)))
    assert (selected <= accurate.amin(dim=2) + rounding).all()
    for image in range(0, batch, 7):
        alone, alone_cells = nearest_patches(latents[image : image + 1], vectors)
        same = alone_cells[0] == cells[image]  # of about equally near patches, it may be another
        assert torch.equal(alone[0][same], values[image][same])
        assert ((alone[0] - values[image]).abs() <= rounding).all()


def test_there_may_be_no_images_or_no_prototypes():
    for batch, count in ((0, 3), (2, 0)):
        latents, vectors = torch.rand(batch, 4, 3, 3), torch.rand(count, 4, 1, 1)
        assert all(answer.shape == (batch, count) for answer in nearest_patches(latents, vectors))
        assert squared_distances(latents, vectors).shape == (batch, count, 3, 3)


def test_pairwise_squared_is_exactly_zero_for_equal_vectors():
    rows = torch.rand(60, 512) * 20
    assert torch.equal(pairwise_squared(rows, rows).diagonal(), torch.zeros(60))


def test_pairwise_squared_agrees_with_differences():
    rows, columns = torch.rand(7, 5), torch.rand(3, 5)
    expected = (rows[:, None] - columns).square().sum(2)
    assert torch.allclose(pairwise_squared(rows, columns), expected, rtol=1e-5)


@pytest.mark.parametrize("nearness", [1.0, 1e-2, 1e-5])
def test_pairwise_squared_keeps_its_digits_beside_and_far_from_prototypes(nearness):
    """Far from the origin, where a product loses the more digits the nearer rows and columns are."""
    generator = torch.Generator().manual_seed(0)
    columns = 100 + torch.randn(20, 512, generator=generator)
    rows = columns[:10] + nearness * torch.randn(10, 512, generator=generator)
    expected = (rows[:, None].double() - columns.double()).square().sum(dim=2)
    assert torch.allclose(pairwise_squared(rows, columns).double(), expected, rtol=3e-7)
    learning = pairwise_squared(rows.clone().requires_grad_(), columns)
    assert torch.allclose(learning.detach().double(), expected, rtol=1e-5)


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_smallest_distances_and_their_gradients(
    side: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those of a simple implementation, for any number of prototypes at once."""
    monkeypatch.setattr(similarity, "_prototypes_at_once", lambda numbers, device: at_once)
    generator = torch.Generator().manual_seed(0)
    latents = torch.rand(6, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    vectors = torch.rand(7, 3, side, side, generator=generator, dtype=torch.float64, requires_grad=True)
    share = torch.rand(6, 7, generator=generator, dtype=torch.float64)
    distances = similarity.nearest_patches(latents, vectors)[0]
    windows = latents.unfold(2, side, 1).unfold(3, side, 1)  # (B, D, H, W, h, w)
    windows = windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    expected = (windows[:, :, None] - vectors.flatten(1)).square().sum(dim=3).amin(dim=1)
    assert torch.allclose(distances, expected)
    gradients = torch.autograd.grad((distances * share).sum(), (latents, vectors))
    expected_gradients = torch.autograd.grad((expected * share).sum(), (latents, vectors))
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert torch.allclose(one, other)


def test_the_nearest_cells_of_some_prototypes_at_a_time_are_those_of_all_at_once(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    latents = torch.rand(3, 4, 3, 5, generator=generator, dtype=torch.float64)
    for side in (1, 2):
        vectors = torch.rand(11, 4, side, side, generator=generator, dtype=torch.float64)
        whole = similarity.squared_distances(latents, vectors).flatten(2).min(dim=2)
        monkeypatch.setattr(similarity, "FEWEST", 4)
        monkeypatch.setattr(similarity, "_prototypes_at_once", lambda numbers, device: 1)
        values, cells = similarity.nearest_patches(latents, vectors)
        monkeypatch.undo()
        assert torch.equal(cells, whole.indices)
        assert torch.allclose(values, whole.values, rtol=1e-12)
