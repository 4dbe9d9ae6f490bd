"""Test the runner of audits: parts, what is kept between them, and images without labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from audit.counting import Counting, NeedsLabels
from made_images import png
from models import make
from resemblance.audit import audit_runner
from resemblance.audit.audit_runner import remove_partial, run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.config.audit.check_names import CHECKS
from resemblance.config.errors import UserError
from resemblance.data.sources.loose import loose_images
from resemblance.data.sources.source import ArraySource

NAMES = ("nonsense", "shifts")


@pytest.fixture(autouse=True)
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_runner, "CHECKS", {"nonsense": Counting, "shifts": NeedsLabels})
    monkeypatch.setattr(Counting, "examined", [])


def subject(images: int = 8, labelled: bool = True, **settings: object) -> AuditSubject:
    model = make("protopnet", encoder="small")
    pixels = np.random.default_rng(0).integers(0, 256, (images, 28, 28, 1), dtype=np.uint8)
    source = ArraySource(pixels, [number % 3 for number in range(images)], model.spec.classes)
    return AuditSubject("run", model, source, labelled, AuditSettings(**settings))  # type: ignore[arg-type]


def test_all_parts_are_examined_once_and_the_model_stays_as_it_was() -> None:
    one = subject()
    one.model.train()
    result = run_checks(one, NAMES)
    assert [finding.check for finding in result.findings] == ["nonsense", "shifts"]
    assert Counting.examined == [0, 1, 2]
    assert one.model.training
    assert all(parameter.requires_grad for parameter in one.model.parameters())


def test_a_check_that_does_not_apply_is_named() -> None:
    result = run_checks(subject(labelled=False), NAMES)
    assert [one.to_dict() for one in result.left_out] == [
        {"measure": "shifts", "reason": "the classes of the images are not known"}
    ]


@pytest.mark.parametrize("role", ["train", "foreign"])
def test_what_is_kept_belongs_to_the_training_images_and_the_foreign_ones_too(role: str) -> None:
    """Other images may have the same names, and another split the same labels and the same first images."""
    keys = set()
    for level, count in ((0, 8), (255, 8), (0, 9), (0, 0)):
        one = subject()
        pixels = np.zeros((count, 28, 28, 1), dtype=np.uint8)
        pixels[count // 2 :] = level
        setattr(one, role, ArraySource(pixels, [0] * count, one.model.spec.classes))
        keys |= {one.key(NAMES), one.key(NAMES)}
    assert len(keys) == 4


def test_an_audit_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_checks(subject(), NAMES)
    monkeypatch.setattr("resemblance.metrics.suite.partial.SECONDS", 0.0)
    monkeypatch.setattr(Counting, "examined", [])
    monkeypatch.setattr(Counting, "stop_before", 2)
    with pytest.raises(KeyboardInterrupt):
        run_checks(subject(), NAMES, folder=tmp_path)
    monkeypatch.setattr(Counting, "stop_before", None)
    again = run_checks(subject(), NAMES, folder=tmp_path)
    assert Counting.examined == [0, 1, 2]
    assert again.to_dict() == whole.to_dict()
    Counting.examined.clear()
    run_checks(subject(seed=1), NAMES, folder=tmp_path)  # other settings begin again
    assert Counting.examined == [0, 1, 2]
    for settings in ({}, {"seed": 1}):
        remove_partial(subject(**settings), NAMES, tmp_path)
    assert not list(tmp_path.iterdir())


def test_predictions_take_the_place_of_labels() -> None:
    known, unknown = subject(40), subject(40, labelled=False)
    labels = torch.from_numpy(known.images.labels)
    assert known.correct.tolist() == (known.predictions == labels).nonzero().flatten().tolist()
    assert unknown.correct.tolist() == list(range(40))
    assert [len(part) for part in subject(40, False, attacked=10, batch_size=4).attacked_parts()] == [4, 4, 2]


def test_every_name_has_a_question() -> None:
    assert all(question.startswith(("whether", "how")) for question in CHECKS.values())


def test_loose_images_have_no_labels(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    source, notes = loose_images(str(tmp_path), ("cat", "dog")) or pytest.fail("not loose")
    assert [source.name(index) for index in range(len(source))] == ["0.png", "1.png", "2.png"]
    assert source.shapes.tolist() == [[8, 8, 3]] * 3
    assert (source.read(0).mode, notes) == ("RGB", [])
    assert source.stamp(0) != source.stamp(1)
    single, _ = loose_images(str(tmp_path / "1.png"), ("cat",)) or pytest.fail("not loose")
    assert len(single) == 1
    (tmp_path / "cats").mkdir()
    assert loose_images(str(tmp_path), ("cat",)) is None  # class folders


def test_a_loose_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(png(0))
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad.png.*--skip-bad-images"):
        loose_images(str(tmp_path), ("cat",))
    source, notes = loose_images(str(tmp_path), ("cat",), skip_bad_images=True) or pytest.fail("not loose")
    assert (len(source), len(notes)) == (1, 1)
    (tmp_path / "good.png").unlink()
    with pytest.raises(UserError, match="none of its 1 images can be read"):
        loose_images(str(tmp_path), ("cat",), skip_bad_images=True)
