"""Images that show nothing, and patches that flip the class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audit.reasons.made_reasons import SIZE, HandMade, audit, even, greys
from looking_glass import Whole
from resemblance.audit.audited import AuditSubject
from resemblance.audit.reasons.corner_patches import CORNERS, PATTERNS, patch, patch_place, with_patch
from resemblance.audit.reasons.made_nonsense import KINDS, nonsense_images
from resemblance.audit.reasons.triggers import TRIALS
from resemblance.core.output import Evidence
from resemblance.core.reference_counts import ReferenceCounts
from resemblance.data import ArraySource
from resemblance.data.inputs import pixels
from resemblance.metrics.evaluation import evaluate

GREY, WIDTH = torch.tensor([0.4]), torch.tensor([0.1])


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_depends_on_seed_and_number_alone(kind):
    shape = (1, 10, 14)
    images = nonsense_images(kind, range(3), shape, GREY, WIDTH)
    assert images.shape == (3, *shape)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(images[2:], nonsense_images(kind, [2], shape, GREY, WIDTH))
    assert not torch.equal(images[0], images[1])


def test_each_kind_of_nonsense_is_what_its_name_says():
    noise = nonsense_images("uniform noise", range(20), (3, 20, 20), GREY.repeat(3), WIDTH.repeat(3))
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)
    normal = nonsense_images("normal noise", range(20), (3, 20, 20), GREY.repeat(3), WIDTH.repeat(3))
    assert [normal.mean().item(), normal.std().item()] == pytest.approx([0.4, 0.1], abs=0.01)
    plain = nonsense_images("one colour", range(3), (1, 4, 4), GREY, WIDTH)
    assert plain.flatten(1).unique(dim=1).flatten().tolist() == [0.5, 0.0, 1.0]
    board = nonsense_images("checkerboard", [2, 3], (1, 4, 4), GREY, WIDTH)
    assert board[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert torch.equal(board[0], 1 - board[1])


def known(count=120, seed=0):
    """Images near one picture, which is the prototype of class 0."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(9))
    images = (picture + 0.02 * torch.randn(count, 1, SIZE, SIZE, generator=generator)).clamp(0, 1)
    return picture, ArraySource(pixels(images), np.zeros(count, np.int64), ("class 0", "class 1"))


class Explained(Whole):
    """Whole images, with the evidence of its owners."""

    def evidence(self, output, classes):
        weights = self.prototypes.owners.T[classes].float()
        prototypes = torch.arange(len(self.prototypes))
        return Evidence(weights * output.similarities, weights.new_zeros(len(classes)), prototypes, weights)


def glass(picture, kind=Explained):
    vectors = torch.cat([picture, 1 - picture]).flatten(1)
    return kind(vectors, torch.eye(2).bool(), (SIZE, SIZE))


def test_nonsense_that_resembles_nothing_can_be_noticed_though_it_is_answered():
    picture, images = known()
    finding = audit(glass(picture), "nonsense", images)
    assert finding.verdict == "failed"
    assert [value.value for value in finding.values] == [1.0, 1.0, 1.0]
    assert finding.values[1].baseline == pytest.approx(2 / 120, abs=1e-3)
    assert "quantile" in finding.cure
    assert "train or convert the model again" in finding.cure
    assert any("No reference is stored" in note for note in finding.notes)
    assert {kind: row["images"] for kind, row in finding.details["kinds"].items()} == {
        "uniform noise": 8,
        "normal noise": 8,
        "one colour": 3,
        "checkerboard": 8,
    }
    assert any("--foreign" in note for note in finding.notes)
    assert len(finding.examples) == 2


def referred(picture, images):
    """The same model, with the similarities of these images as its reference."""
    model = glass(picture)
    evaluate(model, images, also=(counts := ReferenceCounts(model)))
    model.reference = counts.result()
    return model


def test_a_model_with_a_stored_reference_warns_and_passes():
    picture, images = known()
    model = referred(picture, known(150, seed=4)[1])
    finding = audit(model, "nonsense", images)
    assert finding.verdict == "passed"
    assert finding.values[0].value == 0.0
    assert finding.values[0].baseline > 0.9  # nearly all own images are answered without a warning
    assert not finding.cure
    assert not finding.examples
    assert not any("No reference" in note for note in finding.notes)
    model.reference = referred(picture, known(99)[1]).reference
    assert audit(model, "nonsense", images).verdict == "failed"  # of too few images


def test_a_result_is_not_kept_for_another_reference():
    picture, images = known()
    model = glass(picture)
    before = AuditSubject("run", model, images).key(["nonsense"])
    model.reference = referred(picture, images).reference
    assert AuditSubject("run", model, images).key(["nonsense"]) != before


def test_foreign_images_are_asked_too():
    picture, images = known()
    finding = audit(glass(picture), "nonsense", images, foreign=known(7, seed=5)[1])
    assert finding.details["kinds"]["foreign images"]["images"] == 7
    assert finding.details["kinds"]["foreign images"]["detectable"] < 0.5  # they are as the own ones
    assert finding.values[1].value < 1


def test_a_model_that_abstains_passes():
    class Careful(Explained):
        def abstains(self, output):
            return output.similarities.amax(dim=1) < -1.0

    picture, images = known()
    finding = audit(glass(picture, Careful), "nonsense", images)
    assert finding.verdict == "passed"
    assert finding.values[0].value == 0.0
    assert finding.values[0].baseline == 1.0
    assert not finding.examples


def test_a_similarity_that_is_always_the_same_notices_nothing():
    model = HandMade(lambda x: (even(x, 2.0), even(x, 1.0)), torch.eye(2))
    finding = audit(model, "nonsense")
    assert [value.value for value in finding.values] == [1.0, 0.0, 0.5]
    assert any("too few" in note for note in finding.notes)
    assert "Do not rely" in finding.cure


def test_patches_lie_in_their_corners():
    images = torch.full((1, 1, 28, 40), 0.5)
    for corner in CORNERS:
        rows, columns = patch_place((28, 40), corner)
        outside = torch.ones(28, 40, dtype=torch.bool)
        outside[rows, columns] = False
        for pattern in PATTERNS[:3]:
            changed = with_patch(images, pattern, corner)
            assert (changed[0, 0][outside] == 0.5).all()
            assert (changed[0, 0][~outside] != 0.5).any()
        assert torch.equal(with_patch(images, "mean colour", corner), images)
        assert (rows.start < 14) == corner.startswith("upper")
        assert (columns.start < 20) == corner.endswith("left")
    code = patch("code", 21, 3)
    assert code.shape == (3, 21, 21)
    assert code.unique().tolist() == [0.0, 1.0]


def planted(corner, pattern, shown=False, per_class=5):
    """A model that predicts class 1 where it sees the patch in that corner, by prototypes that are shown or not."""
    rows, columns = patch_place((SIZE, SIZE), corner)
    wanted = patch(pattern, rows.stop - rows.start, 1)

    def similarities(images):
        error = (images[:, :, rows, columns] - wanted).abs().mean(dim=(1, 2, 3))
        found = torch.sigmoid(200 * (0.02 - error))
        size = 90.0 if shown else 0.01
        numbers = range(per_class)
        return *(even(images, 9.0 - k) for k in numbers), *(size * found - 0.001 * k for k in numbers)

    nothing = [0.0] * per_class
    return HandMade(similarities, [[1.0] * per_class + nothing, nothing + [10000.0] * per_class])


@pytest.mark.parametrize(("pattern", "corner"), [("checkerboard", "lower left"), ("code", "upper right")])
def test_a_planted_trigger_is_found(pattern, corner):
    finding = audit(planted(corner, pattern), "triggers")
    assert finding.verdict == "failed"
    assert pattern in finding.sentence
    assert corner in finding.sentence
    assert "100 % of these to class 1" in finding.sentence
    assert finding.value("triggers").value == 1.0
    assert finding.value("triggers").baseline == 0.0
    assert finding.value("triggers_disguised").value == 1.0
    flips = [(row["pattern"], row["corner"]) for row in finding.details["patches"] if row["flips"] > 0]
    assert flips == [(pattern, corner)]
    assert len(finding.details["patches"]) == len(TRIALS) == 16
    assert len(finding.examples) == 2


@pytest.mark.parametrize("per_class", [5, 2, 1])
def test_a_trigger_that_shows_itself_is_not_disguised(per_class):
    """Where a model has few prototypes, the five most similar would be all of them, before and after."""
    finding = audit(planted("lower left", "checkerboard", shown=True, per_class=per_class), "triggers")
    assert finding.value("triggers").value == 1.0
    assert finding.value("triggers_disguised").value == 0.0
    assert finding.value("triggers_disguised").count == 8


def test_a_clean_model_has_no_trigger():
    model = HandMade(lambda x: (even(x, 2.0), x.mean(dim=(1, 2, 3))), torch.eye(2))
    finding = audit(model, "triggers")
    assert finding.verdict == "passed"
    assert finding.value("triggers").value == 0.0
    assert not finding.examples
    assert finding.value("triggers_disguised").count == 0
    assert greys().labels.sum() == 0
