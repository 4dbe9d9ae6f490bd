"""The check of shifts on small models of every method."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from audit.shifts.explaining_glass import ExplainingGlass
from cases import METHODS, PROTOTYPE_METHODS, made
from figure_checks import drawn, texts
from models import noise_for
from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.audit.shifts.image_changes import CHANGES
from resemblance.audit.shifts.reason_agreement import Agreement, agreement, reasons_of
from resemblance.audit.shifts.shift_pictures import chosen_rows, pair_figure
from resemblance.audit.shifts.shifts_check import ShiftsCheck, other_of_class
from resemblance.data.sources.source import ArraySource, Subset
from resemblance.methods.ensemble.model import make_ensemble

SETTINGS = AuditSettings(batch_size=5, examples=0)


def subject_of(model, count=9, **options):
    images = noise_for(model, count, seed=1)
    return AuditSubject("run", model.eval(), images, **{"settings": SETTINGS, **options})


def finding_of(subject):
    check = ShiftsCheck(subject)
    return check.finding([check.examine(part) for part in range(check.parts())])


def numbers_of(finding):
    return {value.name: value.value for value in finding.values}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("labelled", [True, False])
def test_every_method_with_prototypes_is_examined(method, labelled):
    subject = subject_of(made(method), labelled=labelled)
    result = run_checks(subject, ["shifts"])
    if method not in PROTOTYPE_METHODS:
        assert [(one.measure, one.reason) for one in result.left_out] == [
            ("shifts", f"{method} has no prototypes")
        ]
        return
    [finding] = result.findings
    json.dumps(finding.to_dict(), allow_nan=False)
    numbers = numbers_of(finding)
    assert finding.values[0].name == "shifts"
    overlaps = [numbers[name] for name in numbers if name.endswith("_overlap")]
    assert numbers["shifts"] == min(overlaps)
    assert len(overlaps) == len(CHANGES)
    for value in finding.values:
        assert value.says
        assert value.good
        assert value.count + sum(value.left_out.values()) == 9
        assert not value.share or 0 <= value.value <= 1
        assert value.baseline is None or math.isfinite(value.baseline)
    assert ("shift_jpeg_accuracy" in numbers) == labelled
    assert any("not known" in note for note in finding.notes) == (not labelled)
    assert any("8×8 block of JPEG" in note for note in finding.notes)
    expected = "passed" if numbers["shifts"] >= 0.8 else "doubtful" if numbers["shifts"] >= 0.5 else "failed"
    assert finding.verdict == expected
    assert bool(finding.cure) == (expected != "passed")


@pytest.mark.parametrize("method", ["protopnet", "kmex", "senn"])
def test_the_batch_size_does_not_matter(method):
    model = made(method)
    whole = finding_of(subject_of(model, settings=replace(SETTINGS, batch_size=64)))
    parts = finding_of(subject_of(model, settings=replace(SETTINGS, batch_size=2)))
    assert numbers_of(parts) == pytest.approx(numbers_of(whole), abs=1e-5, nan_ok=True)
    for one, other in zip(parts.values, whole.values, strict=True):
        assert one.baseline == pytest.approx(other.baseline, abs=1e-5)


def test_the_numbers_are_those_of_a_plain_loop():
    model = made("protopnet")
    subject = subject_of(model, 7)
    numbers, finding = {}, finding_of(subject)
    rows = []
    for index in range(7):
        clean, changed = (
            torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None, None]
            for picture in (subject.images.read(index), CHANGES["blur"](subject.images.read(index)))
        )
        own = model.prototypes.owners[:, subject.images.labels[index]][None]
        rows.append(agreement(reasons_of(model, clean, 5), reasons_of(model, changed, 5), own))
    for name, values in zip(Agreement._fields, zip(*rows, strict=True), strict=True):
        numbers[name] = torch.cat(values).nanmean().item()
    measured = finding.details["changes"]["blur"]
    for name, value in numbers.items():
        assert measured[name] == pytest.approx(value, abs=1e-5), name
    change = numbers["first_top_after"] - numbers["first_top"]
    assert finding.value("shift_blur_top_similarity_change").value == pytest.approx(change, abs=1e-5)
    assert finding.value("shift_blur_overlap").value == pytest.approx(numbers["overlap"])


def test_a_change_that_does_nothing_leaves_everything():
    """Constant images stay as they are when they are blurred, turned or scaled."""
    model = made("protopnet")
    levels = np.linspace(10, 240, 8).astype(np.uint8)
    array = np.broadcast_to(levels[:, None, None, None], (8, 16, 16, 1)).copy()
    images = ArraySource(array, np.arange(8) % 2, model.spec.classes)
    finding = finding_of(AuditSubject("run", model.eval(), images, settings=SETTINGS))
    for name in ("blur", "rotation", "resizing"):
        changes = finding.details["changes"][name]
        assert changes["overlap"] == changes["kept"] == 1
        assert changes["rank_correlation"] == pytest.approx(1)
        assert changes["top_similarity_change"] == 0
    assert finding.details["changes"]["lighter"]["top_similarity_change"] != 0


def test_the_check_catches_a_model_that_looks_at_traces_of_compression():
    """One prototype is the clean picture to the last bit, so that compression makes the other one the nearest."""
    picture = np.random.default_rng(0).integers(60, 200, (8, 8, 1), dtype=np.uint8)
    images = ArraySource(picture[None], [0], ["clean", "compressed"])
    pictures = [images.read(0), CHANGES["jpeg"](images.read(0))]
    vectors = torch.stack(
        [torch.from_numpy(np.asarray(one, dtype=np.float32) / 255).flatten() for one in pictures]
    )
    model = ExplainingGlass(vectors, torch.eye(2).bool(), (8, 8)).eval()
    finding = finding_of(AuditSubject("run", model, images, settings=SETTINGS))
    assert finding.verdict == "failed"
    for name in ("overlap", "kept", "accuracy"):
        assert finding.value(f"shift_jpeg_{name}").value == 0
    assert finding.value("shift_darker_overlap").value == 1
    change = finding.value("shift_jpeg_top_similarity_change").value
    assert change == pytest.approx(model(as_batch(pictures[1])).similarities[0, 0].item() - 9.21034, abs=1e-4)
    assert finding.value("shifts").baseline is None  # there is no other image of the class


def as_batch(picture):
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)[None, None]


def test_partners_are_other_images_of_the_class():
    classes = np.random.default_rng(0).integers(0, 5, 60)
    classes[7] = 5
    others = other_of_class(classes)
    assert others[7] == -1
    rest = np.delete(np.arange(60), 7)
    assert (classes[others[rest]] == classes[rest]).all()
    assert (others[rest] != rest).all()
    assert sorted(others[rest]) == sorted(rest)  # each is the partner of one
    assert other_of_class(np.zeros(0, dtype=np.int64)).tolist() == []


def test_an_image_set_of_nothing_is_said_to_show_nothing():
    model = made("protopnet")
    subject = subject_of(model)
    subject.images = Subset(subject.images, [])
    finding = finding_of(subject)
    assert (finding.verdict, finding.values) == ("information", ())


def test_a_stopped_audit_goes_on(tmp_path):
    model = made("protopnet")
    settings = replace(SETTINGS, examples=4)
    whole = run_checks(subject_of(model, settings=settings), ["shifts"]).findings[0]
    run_checks(subject_of(model, settings=settings), ["shifts"], folder=tmp_path)  # leaves its records
    again = run_checks(subject_of(model, settings=settings), ["shifts"], folder=tmp_path).findings[0]
    assert again.to_dict() == whole.to_dict()
    assert [one.png for one in again.examples] == [one.png for one in whole.examples]


@pytest.mark.parametrize("method", ["protopnet", "kmex", "flint"])
def test_examples_are_pictures_with_captions(method):
    finding = finding_of(subject_of(made(method), settings=replace(SETTINGS, examples=3)))
    assert len(finding.examples) == 3
    for example in finding.examples:
        assert example.title
        assert example.caption.endswith(".")
        with Image.open(io.BytesIO(example.png)) as picture:
            assert min(picture.size) > 100


def test_an_ensemble_of_different_methods_is_examined():
    members = [made("protopnet").eval(), made("kmex").eval()]
    finding = finding_of(subject_of(make_ensemble(members), settings=replace(SETTINGS, examples=1)))
    assert 0 <= finding.value("shifts").value <= 1
    assert len(finding.examples) == 1


def test_the_pair_shows_the_top_prototype_of_the_first_version_with_both_similarities():
    model = made("protopnet").eval()
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    versions = [reasons_of(model, image[None], 5) for image in images]
    figure = pair_figure(model, images, versions, 0, ["one", "two"])
    assert drawn(figure)
    top = int(versions[0].similarities[0].argmax())
    words = texts(figure)
    assert words[0] == f"prototype {top}"
    for version in versions:
        assert f"similarity {version.similarities[0, top].item():.3f}" in words


def test_the_images_shown_are_the_most_changed_one_and_the_first():
    rows = [torch.tensor(values).double() for values in ([1.0, 0.2, 0.2, 0.0], [1.0, 0.9, 0.8, 0.0])]
    jpeg = Agreement(rows[0], rows[1], *(torch.zeros(4).double() for _ in range(6)))
    assert chosen_rows(jpeg, None) == [3, 0]
    assert chosen_rows(jpeg, torch.tensor([False, True, True, False])) == [2, 1]
    assert chosen_rows(jpeg, torch.tensor([False, False, False, True])) == [3]
    assert chosen_rows(jpeg, torch.zeros(4).bool()) == [3, 0]
