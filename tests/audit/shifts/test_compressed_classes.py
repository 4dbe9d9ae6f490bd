"""The experiment with compressed classes, against a plain loop, and on a model that has learnt the compression."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from audit.shifts.explaining_glass import ExplainingGlass
from cases import made
from figure_checks import drawn, texts
from models import noise_for
from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.audit.shifts.compressed_classes import jpeg_bars, jpeg_experiment, jpeg_pair
from resemblance.audit.shifts.image_changes import CHANGES
from resemblance.audit.shifts.shift_pictures import pair_figure
from resemblance.config.errors import UserError
from resemblance.data.sources.compressed import CompressedSource
from resemblance.data.sources.source import ArraySource, Subset
from resemblance.drawing.paired_bars import PairedValues, paired_bars


def as_tensor(picture):
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None, None]


@pytest.mark.parametrize("batch_size", [3, 64])
def test_the_figures_are_those_of_a_plain_loop(batch_size):
    model = made("protopnet").eval()
    source = noise_for(model, 24, seed=3)
    classes = [1, 4]
    correct, tops = {"altered": [], "original": []}, []
    with torch.no_grad():
        for index in range(24):
            picture, label = source.read(index), int(source.labels[index])
            clean, compressed = model(as_tensor(picture)), model(as_tensor(CHANGES["jpeg"](picture)))
            correct["original"].append(clean.scores.argmax().item() == label)
            altered = compressed if label in classes else clean
            correct["altered"].append(altered.scores.argmax().item() == label)
            if label in classes:
                top = compressed.similarities[0].argmax()
                tops.append((compressed.similarities[0, top].item(), clean.similarities[0, top].item()))
    result = jpeg_experiment(model, source, classes, batch_size=batch_size)
    assert result.altered_accuracy == np.mean(correct["altered"])
    assert result.original_accuracy == np.mean(correct["original"])
    assert result.images == len(tops)
    assert (result.top_compressed, result.top_clean) == pytest.approx(tuple(np.mean(tops, axis=0)), abs=1e-5)
    json.dumps(result.to_dict(), allow_nan=False)


def compression_model():
    """Return a model with a prototype that is a compressed picture, and the picture, of class 0 of 2."""
    picture = np.random.default_rng(0).integers(60, 200, (8, 8, 1), dtype=np.uint8)
    source = ArraySource(np.stack([picture, picture]), [0, 1], ["compressed", "clean"])
    vectors = torch.cat([as_tensor(CHANGES["jpeg"](source.read(0))), as_tensor(source.read(0))]).flatten(1)
    return ExplainingGlass(vectors, torch.eye(2).bool(), (8, 8)), source


def test_a_model_that_has_learnt_the_compression_is_found_out():
    model, source = compression_model()
    training = model.training
    result = jpeg_experiment(model, source, [0])
    assert model.training == training
    assert (result.altered_accuracy, result.original_accuracy) == (1, 0.5)
    assert (result.compressed_correct, result.clean_correct, result.images) == (1, 0, 1)
    assert result.top_clean < result.top_compressed
    assert (result.overlap, result.largest_drop) == (0, 0)
    assert result.rank_correlation == pytest.approx(-1)


def test_classes_without_images_are_refused_in_a_line():
    model, source = compression_model()
    with pytest.raises(UserError, match="none of the 2 images is of a class"):
        jpeg_experiment(model, source, [])


def test_the_papers_pictures_of_an_image():
    model, source = compression_model()
    images, pair = jpeg_pair(model, source, 0)
    assert torch.equal(images[0, 0], as_tensor(CHANGES["jpeg"](source.read(0)))[0, 0])
    assert torch.equal(images[1, 0], as_tensor(source.read(0))[0, 0])
    row = jpeg_bars("plain", pair)
    assert row.first[0] > row.second[0]
    assert row.first[1] < row.second[1]


def test_the_pair_of_the_paper_begins_with_the_compressed_image():
    model = made("protopnet").eval()
    images, pair = jpeg_pair(model, noise_for(model, 4), 2)
    figure = pair_figure(model, images, pair, 0, ["compressed", "original"])
    assert drawn(figure)
    assert f"similarity {pair[0].similarities.max().item():.3f}" in texts(figure)


def test_paired_bars_have_the_strongest_of_each_version_and_the_values_of_the_other():
    generator = np.random.default_rng(0)
    rows = [PairedValues(f"run {n}", generator.random(90), generator.random(90)) for n in range(2)]
    figure = paired_bars(rows, ("compressed", "original"))
    assert drawn(figure)
    panels = [axes for axes in figure.axes if len(axes.patches) == 150]
    assert len(panels) == 4
    for number, axes in enumerate(panels):
        row = rows[number // 2]
        leading, other = (row.first, row.second) if number % 2 == 0 else (row.second, row.first)
        order = sorted(range(90), key=lambda p: -leading[p])[:75]
        heights = [patch.get_height() for patch in axes.patches]
        assert heights[:75] == pytest.approx([leading[p] for p in order])
        assert heights[75:] == pytest.approx([other[p] for p in order])
    assert {"compressed", "original", "run 0", "run 1"} <= set(texts(figure))


def test_paired_bars_of_negative_and_of_equal_values():
    assert drawn(paired_bars([PairedValues("run", -np.arange(5.0), -np.ones(5))], ("one", "two")))
    assert drawn(paired_bars([PairedValues("run", np.zeros(3), np.zeros(3))], ("one", "two"), note="none"))


def test_the_check_reads_the_images_before_compression_and_says_what_the_traces_are_worth():
    model, source = compression_model()
    settings = AuditSettings(batch_size=2, examples=0)
    altered = Subset(CompressedSource(source, [0]), [1, 0])
    subject = AuditSubject("run", model.eval(), altered, settings=settings)
    [finding] = run_checks(subject, ["shifts"]).findings
    result = jpeg_experiment(model, source, [0])
    value = finding.value("shift_jpeg_altered_accuracy")
    assert (value.value, value.baseline) == (result.altered_accuracy, result.original_accuracy)
    assert f"from {result.top_compressed:.3f} to {result.top_clean:.3f}" in value.says
    assert finding.value("shift_jpeg_kept").value == 0.0
    plain = run_checks(AuditSubject("run", model, source, settings=settings), ["shifts"]).findings[0]
    assert plain.value("shift_jpeg_altered_accuracy") is None
    assert plain.value("shift_jpeg_overlap").value == finding.value("shift_jpeg_overlap").value
