from __future__ import annotations

import numpy as np
import pytest
import torch

from resemblance.metrics import AttributeCorrelationError, AttributeCoverage
from resemblance.metrics.paper.attribute_correlation import correlations

TRAINING = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0]])
PROTOTYPES = torch.tensor([[1, 1], [0, 0]])


def error_of(prototypes, training, definition="default"):
    error = AttributeCorrelationError(training.shape[1], definition)
    error.update(prototypes, training)
    return error


def test_the_examples_of_the_fact_sheet():
    coverage = AttributeCoverage(3)
    coverage.update(torch.tensor([[1, 0, 0], [0, 1, 0]]))
    assert coverage.compute() == 2
    assert error_of(PROTOTYPES, TRAINING).compute() == 1
    assert error_of(PROTOTYPES, TRAINING, "paper").compute() == 0.5


def test_coverage_counts_ghosts_and_who_has_what():
    coverage = AttributeCoverage(4)
    coverage.update(torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0]]).bool(), ghosted=torch.tensor([False, True]))
    coverage.update(torch.tensor([[0, 0, 0, 1]]))
    assert coverage.compute() == 3
    assert coverage.captured_by().tolist() == [2, 1, 0, 1]
    assert coverage.counted() == {"prototypes": 3, "ghosted": 1}
    assert AttributeCoverage(2).captured_by().tolist() == [0, 0]


def test_correlations_are_pearsons():
    rows = torch.rand(50, 6, generator=torch.Generator().manual_seed(0)) < 0.4
    integers = rows.long()
    ours = correlations(torch.tensor(50), integers.sum(0), integers.T @ integers)
    np.testing.assert_allclose(
        ours.numpy(), np.corrcoef(rows.numpy().astype(float), rowvar=False), atol=1e-12
    )


@pytest.mark.parametrize("seed", range(4))
def test_error_against_numpy(seed):
    generator = torch.Generator().manual_seed(seed)
    training = torch.rand(200, 5, generator=generator) < 0.5
    prototypes = training[torch.randperm(200, generator=generator)[:4]]
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (np.corrcoef(rows.double().numpy(), rowvar=False) for rows in (training, prototypes))
    upper = np.triu_indices(5, 1)
    error = error_of(prototypes, training)
    assert error.compute().item() == pytest.approx(np.abs(a - np.nan_to_num(b))[upper].mean())
    assert error.difference().undefined == np.isnan(b[upper]).sum()
    assert error_of(prototypes, training, "paper").compute().item() == pytest.approx(
        np.abs(a - np.nan_to_num(b)).mean()
    )
    assert error_of(training, training).compute() == 0


def test_one_prototype_has_no_correlations():
    training = torch.cat([TRAINING, torch.tensor([[1, 1]])])
    difference = error_of(training[:1], training).difference()
    expected = abs(np.corrcoef(training.numpy(), rowvar=False)[0, 1])
    assert difference.error.item() == pytest.approx(expected)
    assert difference.trivial == difference.error
    assert (difference.pairs, difference.undefined) == (1, 1)


def test_constant_attributes_are_left_out_and_counted():
    constant = torch.tensor([[1], [1], [1], [1]])
    difference = error_of(
        torch.cat([PROTOTYPES, constant[:2]], dim=1), torch.cat([TRAINING, constant], dim=1)
    ).difference()
    assert (difference.error, difference.pairs, difference.constant, difference.undefined) == (1, 1, 1, 0)
    nothing = error_of(constant[:2], constant)
    assert nothing.compute().isnan()
    assert nothing.difference().constant == 1
