"""The attacks on what explanations show: each finds a manipulated model, and passes a sound one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audit.reasons.made_reasons import EPS, SIZE, HandMade, audit, even, greys, tilt
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.audit.reasons.map_attack import above_zero, marked, share_inside
from resemblance.audit.reasons.moved_map import MovedMap
from resemblance.audit.reasons.other_prototype import AIMS, OtherPrototype
from resemblance.audit.reasons.same_reasons import SameReasons
from resemblance.audit.reasons.shown_reasons import BARRIER, BUFFER, PUSH, lead, on_condition, strengths
from resemblance.data import ArraySource

TWO = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]  # two prototypes per class


def fragile(images):
    """The second prototype of class 0 is a little less similar than the first, and reacts to what nobody sees."""
    return even(images, 3.0), 2.9 + 10 * tilt(images), even(images, 0.1), even(images, 0.0)


def sound(images):
    return even(images, 3.0), 2.0 + tilt(images), even(images, 0.1), even(images, 0.0)


def other_class(images):
    """What makes the second prototype the first one makes class 1 the prediction before."""
    return even(images, 3.0), 2.0 + 30 * tilt(images), 4.0 + 90 * tilt(images), even(images, 0.0)


def test_an_exchanged_prototype_is_found():
    finding = audit(HandMade(fragile, TWO), "other-prototype")
    assert finding.verdict == "failed"
    names = ("other_prototype", "other_prototype_any_prediction", "other_prototype_least_alike")
    assert [value.name for value in finding.values] == list(names)
    assert [value.value for value in finding.values] == [1.0, 1.0, 1.0]
    assert finding.values[0].baseline == 0.0
    assert finding.values[0].count == 8
    assert len(finding.examples) == 2
    assert finding.cure


@pytest.mark.parametrize("similarities", [sound, other_class])
def test_a_prototype_that_stays_passes(similarities):
    finding = audit(HandMade(similarities, TWO), "other-prototype")
    assert finding.verdict == "passed"
    assert finding.values[0].value == 0.0
    assert not finding.examples


def test_a_single_prototype_per_class_cannot_be_exchanged():
    model = HandMade(lambda x: (even(x, 1.0), tilt(x)), torch.eye(2))
    subject = AuditSubject("run", model, greys())
    assert "every class has a single prototype" in OtherPrototype.obstacle(subject)


def test_an_image_whose_class_has_one_prototype_is_counted():
    model = HandMade(lambda x: (even(x, 1.0), even(x, 0.5), tilt(x)), [[1, 0, 0], [0, 1, 1]])
    value = audit(model, "other-prototype").values[0]
    assert value.count == 0
    assert list(value.left_out.values()) == [8]


def test_the_least_alike_prototype_is_another_aim_than_the_runner_up():
    """Prototype 2 is alike to the one shown and almost as strong, prototype 1 is neither."""

    class Alike(HandMade):
        def prototype_similarities(self):
            return torch.tensor([[1, 0.1, 0.9, 0], [0.1, 1, 0, 0], [0.9, 0, 1, 0], [0, 0, 0, 1.0]])

    def values(images):
        return even(images, 3.0), 2.95 + 10 * tilt(images), 2.99 - 10 * tilt(images), even(images, 0.0)

    model = Alike(values, [[1, 1, 1, 0], [0, 0, 0, 1]])
    subject = AuditSubject("run", model.eval(), greys(), settings=AuditSettings(steps=10, attacked=4))
    record = OtherPrototype(subject).examine(0)
    assert record["attack"]["aimed"].all()
    assert len(AIMS) == len(record["attack"]["aimed"])
    assert record["examples"]["prototypes"].tolist() == [[0, 1]] * 4  # the least alike is what pictures show


def test_the_attack_stays_inside_its_ball():
    subject = AuditSubject("run", HandMade(fragile, TWO).eval(), greys(), settings=AuditSettings(steps=10))
    shown = OtherPrototype(subject).examine(0)["examples"]
    change = shown["after"].int() - shown["before"].int()
    assert 0 < change.abs().max() <= round(255 * EPS)


HIDDEN = [[1.0] * 5 + [0.0, 0.0], [0.0] * 5 + [0.0, 900.0]]


def steered(images):
    """The last prototype is never among the first five, but its weight decides."""
    five = [even(images, 5.0 - k) for k in range(5)]
    return *five, even(images, 0.0), 0.5 * torch.sigmoid(50 * tilt(images) - 6)


def test_a_class_that_changes_behind_the_same_reasons_is_found():
    finding = audit(HandMade(steered, HIDDEN), "same-reasons")
    assert finding.verdict == "failed"
    assert [value.value for value in finding.values] == [1.0, 1.0]
    assert [value.baseline for value in finding.values] == [0.0, 0.0]
    assert len(finding.examples) == 2


def test_a_class_that_changes_with_its_reasons_passes():
    model = HandMade(fragile, torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
    finding = audit(model, "same-reasons")
    assert finding.verdict == "passed"
    assert [value.value for value in finding.values] == [0.0, 1.0]
    assert "other prototypes are shown" in finding.notes[0]


def spots(count=8):
    """Images with as many bright spots as a tenth of the pixels: half of them above, half below, left as right."""
    images = np.full((count, SIZE, SIZE, 1), 80, np.uint8)
    for number, image in enumerate(images):
        for rows in (slice(0, SIZE // 2), slice(SIZE // 2, SIZE)):
            chosen = np.random.default_rng([number, rows.start]).permutation(SIZE * SIZE // 4)[:13]
            half = image[rows, : SIZE // 2].reshape(-1)
            half[chosen] = 220
            image[rows, : SIZE // 2, 0] = half.reshape(SIZE // 2, SIZE // 2)
            image[rows, SIZE // 2 :, 0] = half.reshape(SIZE // 2, SIZE // 2)
    return ArraySource(images, np.zeros(count, np.int64), ("class 0", "class 1"))


def gated(images):
    """A gate that nobody sees decides which half of the image the first prototype looks at."""
    rows = SIZE // 2
    gate = torch.sigmoid(400 * (tilt(images) - 0.03))
    upper, lower = images[:, :, :rows].mean(dim=(1, 2, 3)), images[:, :, rows:].mean(dim=(1, 2, 3))
    return gate * upper + (1 - gate) * lower + 3, even(images, 0.0)


def fixed(images):
    return images[:, :, : SIZE // 2].mean(dim=(1, 2, 3)) + 3, even(images, 0.0)


def test_a_map_that_moves_is_found():
    moved, still = (audit(HandMade(f, torch.eye(2)), "moved-map", spots(), steps=20) for f in (gated, fixed))
    assert moved.value("moved_map").value > 0.5 > 0.3 > still.value("moved_map").value
    assert moved.value("moved_map").value > moved.value("moved_map").baseline + 0.2
    assert moved.value("moved_map_correlation").value < still.value("moved_map_correlation").value
    assert moved.verdict != "passed" == still.verdict


def test_the_first_reason_and_the_class_stay_while_the_map_moves():
    subject = AuditSubject("run", HandMade(gated, torch.eye(2)).eval(), spots())
    record = MovedMap(subject).examine(0)
    assert record["attack"]["stays"].all()


def test_what_a_map_marks_is_its_highest_tenth():
    maps = torch.arange(100.0).reshape(1, 10, 10)
    assert int(marked(maps).sum()) == 10
    assert share_inside(maps, marked(maps)).item() == pytest.approx(sum(range(90, 100)) / sum(range(100)))
    assert above_zero(-maps, "smoothgrad").sum() == 0
    assert above_zero(-maps, "similarity").amax() == 99


def test_a_condition_comes_before_the_objective():
    kept = torch.tensor([1.0, BUFFER / 2, -0.5])
    value = on_condition(torch.tensor([0.0, 0.0, 50.0]), kept)
    assert value.tolist() == pytest.approx([0.0, -PUSH * BUFFER / 2, 50 - BARRIER - PUSH * (BUFFER + 0.5)])
    assert lead(torch.tensor([[1.0, 4.0, 2.0]]), torch.tensor([1])).item() == 2.0


def test_an_attack_does_not_depend_on_the_batch():
    findings = [audit(HandMade(steered, HIDDEN), "same-reasons", batch_size=size) for size in (3, 8)]
    assert findings[0].to_dict() == findings[1].to_dict()


def test_strengths_are_the_contributions():
    model = HandMade(fragile, TWO).eval()
    output = model(torch.rand(3, 1, SIZE, SIZE))
    classes = torch.tensor([0, 1, 0])
    assert torch.equal(strengths(model, output, classes), model.evidence(output, classes).contributions)


def test_a_blind_attack_says_so():
    model = HandMade(lambda x: tuple(even(x, v) for v in (3.0, 2.9, 0.1, 0.0)), TWO)
    for name, kind in (("other-prototype", OtherPrototype), ("same-reasons", SameReasons)):
        assert kind.name == name
        assert any("No gradient" in note or "no gradient" in note for note in audit(model, name).notes)
