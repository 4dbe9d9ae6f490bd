"""The scripts behind the table of novelty: what is told apart, and from what."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch

from models import make
from resemblance.core.conformal import Calibration
from resemblance.core.deciding import deciding_similarity
from resemblance.core.reference import Reference, SimilarityRange
from resemblance.data.open import open_data
from toy_model import Toy

SCRIPTS = Path(__file__).parents[2] / "experiments"


def script(name):
    spec = spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_auroc_counts_the_pairs_in_which_the_known_image_is_the_more_similar():
    known, strange = np.array([0.9, 0.5, 0.5]), np.array([0.5, 0.1])
    pairs = [(a > b) + 0.5 * (a == b) for a in known for b in strange]
    novelty = script("novelty")
    assert novelty.auroc(known, strange) == f"{np.mean(pairs):.3f}" == "0.833"
    assert novelty.auroc(None, strange) == novelty.percent(None) == "–"


def test_images_below_the_quantile_are_counted_as_unfamiliar():
    model, images = Toy(), torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    similarity, _ = deciding_similarity(model, model(images))
    middle = float(similarity.detach().median()) + 1e-6
    known = SimilarityRange.of(np.full(200, middle))
    model.reference = Reference(known, (SimilarityRange(0),) * 3, Calibration.of([0.5]))
    answers = script("novelty").answers(model, images)
    assert answers.similarity.tolist() == similarity.double().tolist()
    assert answers.unfamiliar.tolist() == (similarity < known.at(0.01)).tolist()
    assert 0 < answers.unfamiliar.sum() < 40


def test_a_black_box_has_only_its_probability():
    answers = script("novelty").answers(make("blackbox", encoder="small").eval(), torch.rand(4, 1, 28, 28))
    assert answers.similarity is None
    assert answers.unfamiliar is None
    assert len(answers.probability) == 4


def test_classes_are_held_out_of_all_splits(tmp_path, monkeypatch):
    known, unknown = tmp_path / "known.npz", tmp_path / "unknown.npz"
    arguments = ["digits", "7,9", str(known), str(unknown), "--per-class", "20"]
    monkeypatch.setattr(sys, "argv", ["held_out.py", *arguments])
    script("held_out").main()
    kept, left = open_data(str(known)), open_data(str(unknown))
    assert (len(kept.classes), len(left.classes)) == (8, 2)
    assert np.bincount(kept.train.labels).tolist() == [20] * 8
    whole = open_data("digits")
    eight = whole.test.array[whole.test.labels == 8]
    assert np.array_equal(kept.test.array[kept.test.labels == 7], eight)
    assert len(kept.test) + len(left.test) == len(whole.test)
