from __future__ import annotations

import warnings

import numpy as np
import pytest

from resemblance.report.latent_space import _pca


def test_principal_components_and_their_signs():
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.normal(size=(6, 6)))[0]
    embeddings = generator.normal(size=(200, 6)) * [9, 4, 1, 0.5, 0.1, 0.1] @ axes + 3
    vectors = generator.normal(size=(4, 6))
    points, squares, explained = _pca(embeddings, vectors, 0)
    values, components = np.linalg.eigh(np.cov(embeddings.T))
    two = components.T[::-1][:2]
    two = (
        two * np.sign(two[np.arange(2), np.abs(two).argmax(axis=1)])[:, None]
    )  # the largest part is positive
    centre = embeddings.mean(axis=0)
    np.testing.assert_allclose(points, (embeddings - centre) @ two.T, atol=1e-9)
    np.testing.assert_allclose(squares, (vectors - centre) @ two.T, atol=1e-9)
    assert explained == pytest.approx(values[-2:].sum() / values.sum())


@pytest.mark.parametrize(("images", "depth"), [(1, 5), (9, 1), (2, 2), (1, 1)])
def test_few_images_and_spaces_of_one_dimension_also_have_two_coordinates(images, depth):
    embeddings = np.arange(images * depth, dtype=float).reshape(images, depth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points, squares, explained = _pca(embeddings, np.zeros((0, depth)), 0)
    assert points.shape == (images, 2)
    assert squares.shape == (0, 2)
    assert explained == (0.0 if images == 1 else pytest.approx(1.0))
