"""Image size, channels and normalisation come from the training images, unless given."""

from __future__ import annotations

import numpy as np
import pytest

from made_images import png, refusal, zip_of
from resemblance.data import ArraySource, infer_image_spec, open_data
from resemblance.data.sources.source import DataSplits
from resemblance.data.spec import measure


def splits_of(pixels):
    source = ArraySource(pixels, np.arange(len(pixels)) % 2, ("a", "b"))
    return DataSplits(source, source, None, source.classes, "made up")


PIXELS = np.random.default_rng(0).integers(0, 200, (40, 10, 14, 3), dtype=np.uint8)


def test_the_images_own_size_and_statistics():
    spec = infer_image_spec(splits_of(PIXELS))
    assert (spec.size, spec.channels) == ((10, 14), 3)
    np.testing.assert_allclose(spec.mean, (PIXELS / 255).mean(axis=(0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(spec.std, (PIXELS / 255).std(axis=(0, 1, 2)), atol=1e-4)


def test_given_values_are_used():
    spec = infer_image_spec(splits_of(PIXELS), 20, mean=(0.4,), std=(0.1, 0.2, 0.3))
    assert (spec.size, spec.mean, spec.std) == ((20, 20), (0.4, 0.4, 0.4), (0.1, 0.2, 0.3))
    spec = infer_image_spec(splits_of(PIXELS), (8, 9), mean=(0.5,), channels=1)
    assert (spec.size, spec.channels, spec.mean) == ((8, 9), 1, (0.5,))
    assert 0 < spec.std[0] < 0.3
    assert "--mean has 2 values for 3-channel images" in refusal(
        infer_image_spec, splits_of(PIXELS), mean=(0, 1)
    )
    assert "0x0 is not within 1 to 10000" in refusal(infer_image_spec, splits_of(PIXELS), 0)
    assert "100000x100000 is not" in refusal(infer_image_spec, splits_of(PIXELS), 100_000)


@pytest.mark.parametrize("number", [float("nan"), -0.1, 127.5])
def test_impossible_means_and_deviations_are_refused(number):
    assert "mean must lie in [0, 1]" in refusal(infer_image_spec, splits_of(PIXELS), mean=(number,), std=(1,))
    if number != 127.5:
        assert "std must be positive" in refusal(
            infer_image_spec, splits_of(PIXELS), mean=(0,), std=(number,)
        )


def test_a_constant_channel_has_a_deviation_to_divide_by():
    spec = infer_image_spec(splits_of(np.full((4, 5, 5, 1), 51, np.uint8)))
    assert (spec.mean, spec.std) == ((0.2,), (0.01,))


@pytest.mark.parametrize(
    ("sizes", "channels", "expected"),
    [
        ([(30, 20)] * 6, [1] * 6, ((20, 30), 1)),
        ([(30, 20)] * 6, [1, 1, 1, 1, 1, 3], ((20, 30), 3)),
        ([(30, 20), (31, 20)] * 3, [3] * 6, ((224, 224), 3)),
        ([(300, 300)] * 6, [1] * 6, ((224, 224), 1)),
    ],
)
def test_mixed_images(tmp_path, sizes, channels, expected):
    kinds = list(zip(sizes, channels, strict=True))
    files = {f"train/{c}/{i}.png": png(i, size, n) for c in "ab" for i, (size, n) in enumerate(kinds)}
    files |= {f"val/{c}/{i}.png": png(i, (7, 7)) for c in "ab" for i in range(2)}
    spec = infer_image_spec(open_data(str(zip_of(tmp_path / "a.zip", files))), mean=(0.5,), std=(0.5,))
    assert (spec.size, spec.channels) == expected


def test_large_sets_are_sampled(monkeypatch):
    monkeypatch.setattr("resemblance.data.spec.SAMPLE", 10)
    splits = splits_of(PIXELS)
    spec = infer_image_spec(splits)
    assert spec == infer_image_spec(splits)
    assert measure(splits, spec, seed=1) != measure(splits, spec, seed=0)
    np.testing.assert_allclose(spec.mean, (PIXELS / 255).mean(axis=(0, 1, 2)), atol=0.03)
