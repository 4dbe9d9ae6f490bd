"""The attribute measures on attributes of real digits, read from a table."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from digit_attributes import NAMES, digit_attributes
from resemblance.data.attributes import read_attributes
from resemblance.data.open import open_data
from resemblance.data.sources.source import Subset
from resemblance.methods.kmex.kmeans import centres
from resemblance.metrics import AttributeCorrelationError, AttributeCoverage


@pytest.fixture(scope="module")
def digits(real_data):
    test = open_data(f"mnist:{real_data('mnist')}").test
    chosen = np.flatnonzero(np.isin(test.labels, (1, 8)))[:600]
    return Subset(test, chosen)


@pytest.fixture(scope="module")
def attributes(digits, tmp_path_factory):
    """The attributes of the digits, through a file in CelebA's format."""
    computed = digit_attributes(digits.array[..., 0])
    lines = [f"{len(digits)}", " ".join(NAMES)]
    lines += [
        f"{n} {' '.join('1' if v else '-1' for v in row)}"
        for n, row in zip(digits.indices, computed, strict=True)
    ]
    path = tmp_path_factory.mktemp("attributes") / "list_attr_digits.txt"
    path.write_text("\n".join(lines))
    read = read_attributes(path).of(digits)
    assert (read == computed).all()
    return torch.from_numpy(read)


def test_the_attributes_are_those_of_digits(digits, attributes):
    holes, two = attributes[:, 0].numpy(), attributes[:, 1].numpy()
    ones = digits.labels == 1
    assert holes[ones].mean() < 0.02 < 0.9 < holes[~ones].mean()
    assert two[ones].sum() == 0
    assert two[~ones].mean() > 0.4
    assert (holes | ~two).all()


def nearest_to_centres(digits, count):
    """The image of its class nearest to each k-means centre of pixels, as prototypes are represented."""
    pixels = digits.array.reshape(len(digits), -1) / 255
    nearest = []
    for label in (1, 8):
        members = np.flatnonzero(digits.labels == label)
        middles = centres(pixels[members].astype(np.float32), count)
        distances = ((pixels[members][:, None] - middles) ** 2).sum(axis=2)
        nearest += members[distances.argmin(axis=0)].tolist()
    return nearest


def test_more_prototypes_capture_more(digits, attributes):
    """Figure 5 of the KMEx paper in small: one model a point, clustered anew for each number of prototypes."""
    captured, errors, undefined, trivial = [], [], [], []
    for count in (1, 4, 40):
        rows = attributes[nearest_to_centres(digits, count)]
        coverage, error = AttributeCoverage(len(NAMES)), AttributeCorrelationError(len(NAMES))
        coverage.update(rows)
        error.update(rows, attributes)
        difference = error.difference()
        captured.append(coverage.compute().item())
        errors.append(difference.error.item())
        undefined.append(difference.undefined.item())
        trivial.append(difference.trivial.item())
    assert captured == sorted(captured)
    assert captured[0] < captured[-1] == len(NAMES)
    assert errors[2] < errors[1]
    # With one prototype per class most correlations are undefined and count as 0.
    assert undefined[0] > undefined[2] == 0
    assert errors[2] < trivial[2] == trivial[0]
