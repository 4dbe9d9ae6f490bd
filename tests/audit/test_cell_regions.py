"""Test how cells of a map and pixels of the image belong together."""

from __future__ import annotations

import pytest
import torch

from resemblance.audit.places.cell_regions import box_cells, box_pixels, cell_pixels, filled_rectangle
from resemblance.audit.places.place_aims import Aim, Aims


@pytest.mark.parametrize(("grid", "size"), [((7, 7), (28, 28)), ((3, 5), (16, 13)), ((4, 4), (30, 31))])
def test_the_pixels_of_cells_are_theirs_alone(grid, size):
    cells = torch.rand(3, *grid, generator=torch.Generator().manual_seed(0)) < 0.4
    pixels = cell_pixels(cells, size)
    assert pixels.shape == (3, 1, *size)
    for image in range(3):
        for y in range(size[0]):
            for x in range(size[1]):
                cell = (y * grid[0] // size[0], x * grid[1] // size[1])
                assert bool(pixels[image, 0, y, x]) == bool(cells[image][cell])
    assert torch.equal(cell_pixels(~cells, size), ~pixels)


def test_the_cells_of_the_fact_sheet():
    """Box rows 40 to 100, columns 64 to 128: rows 1 to 3, columns 2 to 4, the end cell included."""
    cells = box_cells(torch.tensor([[64, 40, 128, 100]]), (7, 7), (224, 224))
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[1:4, 2:5] = True
    assert torch.equal(cells[0], expected)


def test_boxes_at_the_edge_stay_on_the_map():
    cells = box_cells(torch.tensor([[192, 192, 224, 224], [0, 0, 224, 224]]), (7, 7), (224, 224))
    assert cells[0].nonzero().tolist() == [[6, 6]]
    assert bool(cells[1].all())


def test_a_filled_rectangle_against_a_loop():
    cells = torch.rand(20, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.15
    for given, filled in zip(cells, filled_rectangle(cells), strict=True):
        expected = torch.zeros_like(given)
        places = given.nonzero()
        if len(places):
            (y0, x0), (y1, x1) = places.amin(dim=0).tolist(), places.amax(dim=0).tolist()
            expected[y0 : y1 + 1, x0 : x1 + 1] = True
        assert torch.equal(filled, expected)


def test_box_pixels():
    pixels = box_pixels(torch.tensor([[2, 1, 5, 3], [0, 0, 6, 4]]), (4, 6))
    assert pixels[0, 0].nonzero()[[0, -1]].tolist() == [[1, 2], [2, 4]]
    assert int(pixels[0].sum()) == 6
    assert bool(pixels[1].all())


def test_the_objective_is_the_difference_of_two_means():
    place = torch.tensor([[[True, True, False], [False, False, False]]])
    maps = torch.tensor([[[4.0, 2.0, 1.0], [0.0, 5.0, 6.0]]])
    plain = Aim(torch.tensor([0]), place, ~place, ~place)
    assert torch.isclose((plain.weights * maps).sum(), torch.tensor(3.0 - 3.0))
    # The rectangle around the complement is the whole map: the place counts for the target alone.
    released = Aim(torch.tensor([0]), place, filled_rectangle(~place), ~place)
    assert torch.isclose((released.weights * maps).sum(), maps.mean())
    # A cell in both: 0 in the second mean, whose divisor stays |S|.
    target = torch.tensor([[[False, True, True], [False, False, False]]])
    overlap = Aim(torch.tensor([0]), place, target, target)
    assert torch.isclose((overlap.weights * maps).sum(), torch.tensor((2.0 + 1.0) / 2 - 4.0 / 2))


def test_a_success_needs_the_best_match_among_the_wanted_cells():
    place = torch.tensor([[[True, False]], [[True, False]], [[True, False]]])
    aim = Aim(torch.arange(3), place, ~place, ~place)
    maps = torch.tensor([[[1.0, 2.0]], [[2.0, 1.0]], [[1.0, 1.0]]])
    assert aim.reached(maps).tolist() == [True, False, False]  # equal similarity has not moved
    assert aim.largest(maps).tolist() == [2.0, 1.0, 1.0]


def test_aims_of_two_layers_keep_the_order_of_their_pairs():
    def cells(count, grid, value):
        return torch.full((count, *grid), value)

    first = Aim(torch.tensor([0, 2]), *(cells(2, (2, 2), value) for value in (False, True, True)))
    second = Aim(torch.tensor([1, 3]), *(cells(2, (3, 3), value) for value in (True, False, False)))
    aims = Aims([first, second], 4)[torch.tensor([1, 2, 3])]
    assert [aim.pairs.tolist() for aim in aims] == [[1], [0, 2]]
    assert aims.mask((6, 6)).flatten(1).all(dim=1).tolist() == [False, True, False]
