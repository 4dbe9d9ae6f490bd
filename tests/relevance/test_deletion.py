"""The deletion check, compared with plain loops, and its sentences."""

from __future__ import annotations

import json

import pytest
import torch

from models import batch, make
from resemblance.config.errors import UserError
from resemblance.relevance.deletion import check_class_maps, check_prototype_maps, deletion_checks
from resemblance.relevance.deletion_check import NO_BREAK, DeletionCheck

SHARES = (0.1, 0.25, 0.5)


def weighted(seed=0, targets=3):
    weights = torch.rand(targets, 2, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return weights, lambda x: torch.einsum("bchw,kchw->bk", x, weights)


def images_of(count=4, seed=1):
    return torch.rand(count, 2, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def marked_pixels(heat, share):
    """The pixels of the largest relevance, one by one."""
    ranked = sorted(range(heat.numel()), key=lambda i: -float(heat.flatten()[i]))
    return [(i // heat.shape[1], i % heat.shape[1]) for i in ranked[: max(1, round(share * heat.numel()))]]


def test_the_marked_pixels_take_the_images_mean_colour():
    weights, values = weighted()
    images, maps = images_of(), images_of(12, seed=3).sum(dim=1).reshape(4, 3, 6, 8)
    which = torch.tensor([[2, 0, 1], [0, 0, 2], [1, 2, 0], [2, 1, 0]])
    checks = deletion_checks(values, images, which, maps, shares=SHARES, batch_size=5)
    for row, image in enumerate(images):
        for k in range(3):
            check, target = checks[row][k], int(which[row, k])
            assert check.shares == (0.0, *SHARES)
            assert check.marked[0] == pytest.approx(float((image * weights[target]).sum()))
            for position, share in enumerate(SHARES, 1):
                changed = image.clone()
                for y, x in marked_pixels(maps[row, k], share):
                    changed[:, y, x] = image.mean(dim=(1, 2))
                assert check.marked[position] == pytest.approx(float((changed * weights[target]).sum()))


def test_random_places_are_the_marked_pixels_shifted_over_the_image():
    """Of a block of pixels, seen by counting which pixels are black and how far they lie apart."""
    seen = []

    def values(x):
        seen.append(x[:, 0] == 0)
        return x.sum(dim=(1, 2, 3))[:, None]

    images = torch.ones(1, 1, 6, 8)
    heat = torch.zeros(1, 1, 6, 8)
    heat[..., 2:4, 3:5] = 1.0
    deletion_checks(
        values, images, torch.zeros(1, 1, dtype=torch.int64), heat, shares=[4 / 48], draws=6, fill="black"
    )
    marked, *random = torch.cat(seen[1:])
    assert torch.equal(marked, heat[0, 0] == 1)
    places = set()
    for mask in random:
        shifts = [
            (down, right)
            for down in range(6)
            for right in range(8)
            if torch.equal(marked.roll((down, right), (0, 1)), mask)
        ]
        assert len(shifts) == 1
        places.add(shifts[0])
    assert (0, 0) not in places
    assert len(places) > 1


def test_results_are_a_function_of_the_image_and_the_seed_alone():
    _, values = weighted()
    images, maps = images_of(), images_of(4, seed=3).sum(dim=1, keepdim=True).round(decimals=1)
    which = torch.tensor([[2], [0], [1], [2]])
    for fill in ("mean", "black", "noise"):
        checks = deletion_checks(values, images, which, maps, fill=fill)
        alone = deletion_checks(values, images[2:3], which[2:3], maps[2:3], fill=fill, batch_size=3)
        assert alone[0][0].marked == pytest.approx(checks[2][0].marked)
        assert alone[0][0].random == pytest.approx(checks[2][0].random)
        assert alone[0][0].spread == pytest.approx(checks[2][0].spread, abs=1e-12)
    other = deletion_checks(values, images, which, maps, seed=1)
    assert other[0][0].random != checks[0][0].random


def test_the_map_of_the_truth_is_better_than_random_places_and_its_opposite_is_not():
    weights, values = weighted()
    images = images_of()
    which = torch.tensor([[0], [1], [2], [0]])
    contrast = images - images.mean(dim=(2, 3), keepdim=True)
    truth = (contrast * weights[which[:, 0]]).sum(dim=1, keepdim=True)
    assert all(row[0].better for row in deletion_checks(values, images, which, truth))
    for row in deletion_checks(values, images, which, -truth):
        assert not row[0].better
        assert "no better than random places" in row[0].sentence()


def test_an_empty_map_says_so():
    _, values = weighted()
    which = torch.zeros(4, 1, dtype=torch.int64)
    [check, *_] = deletion_checks(values, images_of(), which, torch.zeros(4, 1, 6, 8))[0]
    assert check.empty
    assert check.sentence() == "This map is empty: no pixel has any relevance."


def test_nothing_to_check():
    _, values = weighted()
    assert deletion_checks(values, images_of(), torch.zeros(4, 0, dtype=torch.int64), torch.zeros(4, 0, 6, 8)) == [
        [], [], [], []
    ]  # fmt: skip
    assert (
        deletion_checks(values, images_of(0), torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, 2, 6, 8))
        == []
    )


@pytest.mark.parametrize(
    ("marked", "random", "sentence"),
    [
        ((2.0, 0.5), (2.0, 1.8), "lowers the similarity by 75 %; random places of the same size by 10 %."),
        (
            (2.0, 0.5),
            (2.0, 2.2),
            "lowers the similarity by 75 %; random places of the same size raise it by 10 %.",
        ),
        ((2.0, 2.2), (2.0, 2.4), "raises the similarity by 10 %; random places of the same size by 20 %."),
        ((2.0, 0.5), (2.0, 2.001), "lowers the similarity by 75 %; random places of the same size by 0 %."),
        (
            (-0.5, -2.0),
            (-0.5, -0.75),
            "takes the similarity from −0.5 to −2; random places of the same size, to −0.75.",
        ),
        (
            (2.0, -1.0),
            (2.0, 1.5),
            "takes the similarity from 2 to −1; random places of the same size, to 1.5.",
        ),
    ],
)
def test_sentences(marked, random, sentence):
    check = DeletionCheck((0.0, 0.1), marked, random, (0.0, 0.1), better=True)
    text = check.sentence().replace(NO_BREAK, " ")
    assert text == f"Removing the 10 % of pixels that this map marks {sentence}"
    assert json.loads(json.dumps(check.to_dict()))["sentence"] == check.sentence()


def test_the_sentence_names_the_share_nearest_to_a_tenth():
    check = DeletionCheck((0.0, 0.02, 0.2, 0.5), (1.0,) * 4, (1.0,) * 4, (0.0,) * 4, better=False)
    assert check.sentence().startswith(f"Removing the 2{NO_BREAK}%")


@pytest.mark.parametrize("method", ["protopnet", "kmex", "senn", "prototypedl"])
def test_models_are_checked_and_given_back_unharmed(method):
    settings = {"encoder": "small"} if method in ("protopnet", "kmex") else {}
    model = make(method, **settings).train()
    images, classes = batch(model)
    maps = torch.rand(4, 2, 28, 28)
    which = torch.tensor([[0, 2]] * 4)
    checks = check_prototype_maps(model, images, which, maps, shares=SHARES)
    assert model.training
    model.eval()
    with torch.no_grad():
        output = model(images)
    assert checks[1][1].marked[0] == pytest.approx(float(output.similarities[1, 2]), rel=1e-5, abs=1e-6)
    assert checks[1][1].subject == model.traits.words.similarity
    scores = check_class_maps(model, images, classes, maps[:, 0], shares=SHARES)
    assert scores[2].marked[0] == pytest.approx(float(output.scores[2, 2]), rel=1e-5, abs=1e-6)
    assert "score" in scores[2].sentence()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": [0.0, 0.5]}, "between 0 and 1"),
        ({"shares": [1.0]}, "between 0 and 1"),
        ({"shares": []}, "between 0 and 1"),
        ({"draws": 1}, "at least 2 random places"),
        ({"fill": "grey"}, "filled with mean, black, noise, not 'grey'"),
        ({"maps": torch.zeros(4, 1, 5, 8)}, "do not fit images"),
    ],
)
def test_bad_input_gets_one_line(options, message):
    _, values = weighted()
    which = torch.zeros(4, 1, dtype=torch.int64)
    arguments = {"maps": torch.zeros(4, 1, 6, 8), **options}
    with pytest.raises(UserError, match=message):
        deletion_checks(values, images_of(), which, **arguments)
