from __future__ import annotations

import math

import pytest
import torch

from resemblance.metrics import ExplanationDivergence
from resemblance.metrics.paper.explanation_divergence import explanation_divergence, map_distributions

MAPS = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[-3.0, 0.0], [0.0, 2.0]]]])
UNIFORM = torch.ones(1, 1, 2, 2)


def measured(maps, references):
    divergence = ExplanationDivergence()
    divergence.update(maps, references)
    return divergence


def test_the_examples_of_the_fact_sheet():
    assert map_distributions(MAPS)[0].tolist() == pytest.approx([0.6, 0, 0, 0.4])
    assert measured(MAPS, UNIFORM).compute().item() == pytest.approx(0.713283, abs=5e-7)
    quarter = torch.tensor([[[0.5, 0.25], [0.25, 0.0]]])
    assert measured(quarter, UNIFORM[:, 0]).compute().item() == pytest.approx(0.346574, abs=5e-7)


def obvious(maps, reference):
    """KL of one pair of maps (C, H, W), pixel by pixel."""
    distributions = []
    for channels in (maps, reference):
        strongest = [max(abs(v) for v in pixel) for pixel in channels.double().flatten(1).T.tolist()]
        plus = [value / sum(strongest) + 1e-12 for value in strongest]
        distributions.append([value / sum(plus) for value in plus])
    return sum(p * math.log(p / q) for p, q in zip(*distributions, strict=True))


def test_against_the_formula_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    maps, references = torch.randn(2, 6, 3, 5, 4, generator=generator).round(decimals=1)
    expected = [obvious(a, b) for a, b in zip(maps, references, strict=True)]
    assert explanation_divergence(maps, references).tolist() == pytest.approx(expected, rel=1e-9)
    divergence = ExplanationDivergence()
    for part in torch.arange(6).split(4):
        divergence.update(maps[part], references[part])
    assert divergence.compute().item() == pytest.approx(sum(expected) / 6)
    spread = torch.tensor(expected, dtype=torch.float64).std(correction=0).item()
    assert divergence.deviation().item() == pytest.approx(spread)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_scale_and_sign_do_not_matter(scale):
    generator = torch.Generator().manual_seed(1)
    maps, references = torch.randn(2, 4, 1, 6, 6, generator=generator)
    plain = explanation_divergence(maps, references)
    torch.testing.assert_close(explanation_divergence(-scale * maps, references), plain, rtol=1e-5, atol=0)
    assert (plain > 0).all()
    assert explanation_divergence(maps, -scale * maps).abs().max() < 1e-12


def test_what_is_undefined_is_counted():
    maps = torch.cat([MAPS, MAPS, 0 * MAPS, MAPS, MAPS / 0])
    references = torch.cat([UNIFORM, 0 * UNIFORM, UNIFORM, torch.eye(2)[None, None].flip(-1), UNIFORM])
    divergence = measured(maps, references)
    assert divergence.counted() == {"measured": 2, "zero": 2, "undefined": 1, "unsupported": 1}
    disjoint = explanation_divergence(maps[3:4], references[3:4]).item()
    assert 20 < disjoint < 30  # about log 1e12: finite because of the 1e-12
    assert divergence.compute().item() == pytest.approx((0.713283 + disjoint) / 2)
    assert measured(0 * MAPS, UNIFORM).compute().isnan()
    assert explanation_divergence(0 * MAPS, UNIFORM).isnan().all()
