"""The shares in which relevance begins at the channels of a patch."""

from __future__ import annotations

import pytest
import torch

from models import make
from resemblance.prototypes.geometry import InnerProduct, SquaredDistance
from resemblance.prototypes.scalars import ScalarPrototypes
from resemblance.prototypes.shares import distance_shares, product_shares
from resemblance.prototypes.vectors import VectorPrototypes


def double(*values):
    return torch.tensor([values], dtype=torch.float64)


def test_values_of_the_fact_sheet():
    shares = distance_shares(double(1.0, 2.0), double(0.0, 0.0))
    assert torch.allclose(shares, double(0.8, 0.2))
    assert torch.allclose(0.182302 * shares, double(0.145841, 0.036460), atol=1e-6)


def test_other_versions_of_the_authors_code_begin_otherwise():
    """Fourth powers, ProtoVAE's intended weights, and the gradient that its code really starts from."""
    z = double(1.0, 2.0).requires_grad_()
    fourth = 1 / (z**4 + 1e-12)
    assert torch.allclose(fourth / fourth.sum(), double(0.941176, 0.058824), atol=1e-6)
    intended = 1 / (z**2 + 1e-4)
    assert torch.allclose(intended, double(0.999900, 0.249994), atol=1e-6)
    (as_run,) = torch.autograd.grad(intended.sum(), z)
    assert torch.allclose(as_run, double(-1.999600, -0.249988), atol=1e-6)
    ours = distance_shares(z.detach(), double(0.0, 0.0))
    for other in (fourth / fourth.sum(), intended, as_run):
        assert not torch.allclose(ours, other.detach(), atol=1e-3)


def test_a_channel_of_zero_has_no_share_but_in_the_released_formula():
    z, p = double(0.0, 1.0, 2.0), double(0.0, 0.5, 1.0)
    assert torch.allclose(distance_shares(z, p), double(0.0, 0.8, 0.2))
    assert distance_shares(z, p, released=True)[0, 0] > 0.999


def test_a_patch_of_zeros_has_no_shares():
    assert distance_shares(double(0.0, 0.0), double(1.0, 0.0)).tolist() == [[0.0, 0.0]]


def test_shares_of_a_projected_prototype_are_equal():
    z = torch.rand(1, 50, dtype=torch.float64) + 0.5
    shares = distance_shares(z, z + 8e-7 * torch.randn(1, 50, dtype=torch.float64))
    assert torch.allclose(shares, torch.full_like(shares, 0.02))
    released = distance_shares(z, z + 8e-7 * torch.randn(1, 50, dtype=torch.float64), released=True)
    assert released.max() > 1.02 * released.min()


def test_shares_of_one_channel_that_agrees_are_not_equal():
    assert distance_shares(double(1.0, 2.0), double(1.0, 2.5))[0, 0] > 0.999


def test_products_share_by_their_summands():
    assert torch.allclose(product_shares(double(1.0, 2.0), double(3.0, -1.0)), double(3.0, -2.0), atol=1e-5)


def plain_shares(latents, vectors, which, measure, share):
    """The shares of windows, cell by cell."""
    result = torch.zeros_like(latents)
    height, width = vectors.shape[2:]
    for b, k in enumerate(which.tolist()):
        places = [
            (y, x) for y in range(latents.shape[2] - height + 1) for x in range(latents.shape[3] - width + 1)
        ]
        windows = {(y, x): latents[b, :, y : y + height, x : x + width] for y, x in places}
        y, x = min(places, key=lambda place: measure(windows[place], vectors[k]))
        result[b, :, y : y + height, x : x + width] = share(windows[y, x], vectors[k])
    return result


@pytest.mark.parametrize("window", [(1, 1), (2, 3)])
def test_only_the_nearest_window_has_shares(window):
    torch.manual_seed(0)
    vectors = torch.rand(4, 5, *window, dtype=torch.float64)
    prototypes = VectorPrototypes(vectors, torch.eye(4), SquaredDistance()).double()
    latents, which = torch.rand(3, 5, 4, 6, dtype=torch.float64), torch.tensor([2, 0, 2])

    def share(z, p):
        closeness = 1 / ((z - p) ** 2 + 1e-12)
        return closeness / closeness.sum()

    expected = plain_shares(latents, vectors, which, lambda z, p: ((z - p) ** 2).sum(), share)
    ours = prototypes.shares(latents, which)
    assert torch.allclose(ours, expected, rtol=1e-9)
    assert torch.allclose(ours.flatten(1).sum(1), double(1.0, 1.0, 1.0)[0])


def test_a_projection_shares_by_its_summands():
    vectors = torch.randn(4, 5, 1, 1, dtype=torch.float64)
    prototypes = VectorPrototypes(vectors, torch.eye(4), InnerProduct(unit_vectors=True)).double()
    latents, which = torch.rand(3, 5, 4, 6, dtype=torch.float64), torch.tensor([2, 0, 2])

    def product(z, p):
        return z * p / p.norm()

    expected = plain_shares(
        latents,
        vectors,
        which,
        lambda z, p: -product(z, p).sum(),
        lambda z, p: product(z, p) / (product(z, p).sum() + 1e-6 * product(z, p).sum().sign()),
    )
    assert torch.allclose(prototypes.shares(latents, which), expected, rtol=1e-9)


def test_whole_images_and_the_mean_half_of_a_variational_encoder():
    prototypes = VectorPrototypes(torch.zeros(2, 2), torch.eye(2))
    shares = prototypes.shares(torch.tensor([[1.0, 2.0, 9.0, 9.0]]), torch.tensor([1]))
    assert torch.allclose(shares, torch.tensor([[0.8, 0.2, 0.0, 0.0]]))


def test_a_number_has_all_of_its_own_relevance():
    prototypes = ScalarPrototypes(torch.zeros(2, 3))
    assert prototypes.shares(torch.tensor([[0.5, 0.0, 7.0]]), torch.tensor([1])).tolist() == [[0, 1, 0]]


def test_a_channel_has_its_relevance_before_the_softmax_at_the_cell_of_its_presence():
    model = make("pipnet", encoder="small").eval()
    latents = model.latents(torch.rand(2, 1, 28, 28)).detach()
    which = torch.tensor([5, 9])
    shares = model.prototypes.shares(latents, which)
    for b, k in enumerate(which.tolist()):
        place = latents[b, k].flatten().argmax()
        assert shares[b, k].flatten()[place] == 1
        assert shares[b].sum() == 1


def test_moving_parts_share_between_the_four_cells_that_they_read():
    torch.manual_seed(0)
    model = make("deformable", encoder="small").double().eval()
    layer = model.prototypes
    latents = model.latents(torch.rand(2, 1, 28, 28, dtype=torch.float64)).detach()
    latents[:, layer.channels :] = torch.rand_like(latents[:, layer.channels :]) * 3 - 1.5
    which = torch.tensor([3, 0])
    ours = layer.shares(latents, which)
    expected = torch.zeros_like(latents)
    height, width = layer.grid(latents)
    parts = layer.normalized(layer.vectors[which]).detach()
    for b in range(2):
        best, best_value = None, -1.0
        for row in range(height):
            for column in range(width):
                split, value = part_shares(latents[b], parts[b], layer, row, column)
                if value > best_value:
                    best, best_value = split, value
        expected[b] = best
    assert torch.allclose(ours, expected, rtol=1e-6, atol=1e-9)


def part_shares(latents, parts, layer, row, column):
    """The shares of one window of moving parts, and its similarity."""
    z, offsets = latents[: layer.channels], latents[layer.channels :, row, column]
    _, rows, columns = z.shape
    result, pieces, total = torch.zeros_like(latents), [], 0.0
    for m in range(layer.parts):
        for n in range(layer.parts):
            k = m * layer.parts + n
            y, x = row + 2 * m - 1 + float(offsets[2 * k]), column + 2 * n - 1 + float(offsets[2 * k + 1])
            corners = []
            for i in (int(y // 1), int(y // 1) + 1):
                for j in (int(x // 1), int(x // 1) + 1):
                    weight = (1 - abs(y - i)) * (1 - abs(x - j))
                    if 0 <= i < rows and 0 <= j < columns:
                        corners.append((i, j, weight * z[:, i, j] ** 2))
            mixed = sum((square for *_, square in corners), torch.zeros(layer.channels, dtype=torch.float64))
            product = mixed.sqrt() * parts[:, m, n]
            total += float(product.sum())
            pieces.append((corners, mixed, product))
    for corners, mixed, product in pieces:
        for i, j, square in corners:
            share = torch.where(mixed > 0, product * square / mixed, 0.0)
            result[: layer.channels, i, j] += share / (total + 1e-6)
    return result, total
