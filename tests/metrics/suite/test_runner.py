"""Measure small models of every method: what applies is measured, what does not is left out with a reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cases import METHODS, made
from dividing import helped_by_threads
from models import make, noise_for
from resemblance.config.evaluation.measure_names import MEASURES
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.metrics.suite import partial
from resemblance.metrics.suite.plan import MEASUREMENTS
from resemblance.metrics.suite.runner import SuiteResult, measure
from resemblance.metrics.suite.subject import Settings, Subject, choose
from resemblance.training.ends.usage import count_usage

NAMES = tuple(MEASURES)
SETTINGS = Settings(steps=3, batch_size=8)


class Stop(BaseException):
    """Stands for a kill."""


def subject_of(model: Classifier, count: int = 12, **options: Any) -> Subject:
    """Make a subject with images of noise."""
    images, train = noise_for(model, count, seed=1), noise_for(model, 24, seed=2)
    if isinstance(model, PrototypeModel):
        count_usage(model, loader(ImageDataset(train, model.spec.image), 8))
    return Subject("run", model.eval(), images, **{"settings": SETTINGS, "train": train, **options})


def values_of(result: SuiteResult) -> dict[str, float]:
    return {value.name: value.value for one in result.results for value in one.values}


def test_every_measure_has_a_measurement_of_its_name() -> None:
    assert set(MEASUREMENTS) == set(MEASURES)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_measured_or_left_out_with_a_reason(method: str) -> None:
    subject = subject_of(made(method), 10)
    with helped_by_threads():  # so that everything is sent to another process, and back
        result = measure(subject, NAMES)
    measured = [one.measure for one in result.results]
    assert sorted([*measured, *(one.measure for one in result.left_out)]) == sorted(NAMES)
    assert all(one.reason for one in result.left_out)
    for one in result.results:
        assert one.meaning
        assert one.values
        for value in one.values:
            assert value.says
            assert value.good
            assert "{" not in value.says + value.good
            assert value.baseline is None or math.isfinite(value.baseline), (one.measure, value.name)
    document = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(document)["accuracy"] == values_of(result)["accuracy"]
    if method == "blackbox":
        assert measured == [
            *("accuracy", "calibration", "average-drop", "relevance-ordering", "randomisation"),
            "robust-accuracy",
        ]


def test_the_batch_size_does_not_matter() -> None:
    model = made("protopnet")
    subject = subject_of(model, 20, settings=replace(SETTINGS, steps=4))
    names = (
        "accuracy",
        "calibration",
        "ghosting",
        "average-drop",
        "relevance-ordering",
        "distinctiveness",
        "sensitivity",
    )
    first = measure(subject, names)
    other = measure(replace(subject, settings=replace(subject.settings, batch_size=7)), names)
    assert values_of(other) == pytest.approx(values_of(first), rel=1e-5, abs=1e-6, nan_ok=True)
    assert other.evaluation.wrong == first.evaluation.wrong


def test_two_devices_have_the_results_of_one() -> None:
    subject = subject_of(made("protopnet"), 20, settings=replace(SETTINGS, batch_size=3))
    with helped_by_threads():
        other = measure(subject, NAMES)
    assert str(other.to_dict()) == str(measure(subject, NAMES).to_dict())


def test_work_is_shared_and_counted() -> None:
    model = made("protopnet")
    subject = subject_of(model, 20)
    ordering = 2 * 3 * 20  # two curves of three points
    assert measure(subject, ("accuracy", "calibration")).cost.forward == 20
    assert measure(subject, ("accuracy", "ghosting", "diversity")).cost.forward == 20 + 24
    assert measure(subject, ("relevance-ordering",)).cost.forward == 20 + ordering
    own = int(model.prototypes.owners.sum(dim=0).max())
    both = measure(subject, ("average-drop", "relevance-ordering", "distinctiveness")).cost
    assert both.forward <= 20 + ordering + 2 * own * 20 + 20  # the maps of images predicted as another class
    assert own * 20 <= both.prototype_maps <= own * 20 + 20


@pytest.mark.parametrize("patches", [None, False, True])
def test_ghosting_counts_as_usage_does(patches: bool | None) -> None:
    model = made("protopnet") if patches is None else make("kmex", encoder="small", patches=patches)
    subject = subject_of(model)
    [result] = measure(subject, ("ghosting",)).results
    assert result.details["ghosted"] == model.prototypes.unused().tolist()


def test_an_own_black_box_of_the_same_weights_leaves_no_gap_and_no_divergence() -> None:
    model, twin = make("blackbox", encoder="small"), make("blackbox", encoder="small")
    subject = subject_of(model, black_box=twin.eval(), settings=replace(SETTINGS, maps="gradient"))
    values = values_of(measure(subject, ("accuracy", "divergence")))
    assert values["gap"] == 0
    assert values["agreement"] == 1
    assert values["divergence"] == pytest.approx(0, abs=1e-9)


def test_agreement_is_counted_beside_the_gap_in_the_same_pass() -> None:
    kmex, other = make("kmex", encoder="small"), make("blackbox", encoder="small", seed=3).eval()
    images = ImageDataset(noise_for(kmex, 40, seed=1), kmex.spec.image).__getitems__(range(40)).images
    with torch.no_grad():
        kmex.encoder.classifier.bias[int(kmex.eval()(images).scores.argmax(1).mode().values)] += 100
    for black_box in (None, other):
        subject = subject_of(kmex, 40, black_box=black_box)
        result = measure(subject, ("accuracy",))
        batch = ImageDataset(subject.images, kmex.spec.image).__getitems__(range(40))
        with torch.no_grad():
            output = kmex(batch.images)
            answer = output.extras["blackbox"] if black_box is None else other(batch.images).scores
        same = (output.scores.argmax(1) == answer.argmax(1)).double().mean().item()
        assert same > 0.3 or black_box is not None
        assert values_of(result)["agreement"] == pytest.approx(same)
        assert result.evaluation.agreement == pytest.approx(same)
        assert result.to_dict()["agreement"] == pytest.approx(same)
        assert result.cost.forward == 40
        assert result.cost.black_box == (0 if black_box is None else 40)


def test_without_a_black_box_there_is_neither_gap_nor_agreement() -> None:
    headless = make("kmex", encoder="small")
    headless.encoder.drop_head()
    for model in (headless, made("protopnet")):
        result = measure(subject_of(model), ("accuracy",))
        assert [value.name for value in result.results[0].values] == ["accuracy"]
        assert result.evaluation.gap is result.evaluation.agreement is None


def test_similarity_maps_are_not_compared_with_a_black_box() -> None:
    subject = subject_of(made("protopnet"), black_box=made("blackbox").eval())
    [left_out] = measure(subject, ("divergence",)).left_out
    assert "--maps smoothgrad or prp" in left_out.reason


@pytest.mark.parametrize("definition", ["paper", "released"])
def test_other_definitions(definition: Any) -> None:
    settings = replace(SETTINGS, definition=definition, maps="gradient")
    names = ("accuracy", "ghosting", "diversity", "average-drop")
    for method in ("protopnet", "flint"):
        result = measure(subject_of(made(method), settings=settings), names)
        outside = method == "flint" and definition == "paper"
        assert ("average-drop" in [one.measure for one in result.left_out]) == outside
        assert ("ghosting_printed" in values_of(result)) == (definition == "paper")


def stopping_after(saves: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Save after every batch, and stop after so many saves; returns the way back."""
    original, count = partial.atomic_save, [0]

    def save(content: Any, path: Path) -> None:
        original(content, path)
        count[0] += 1
        if count[0] == saves:
            raise Stop

    monkeypatch.setattr(partial, "SECONDS", 0.0)
    monkeypatch.setattr(partial, "atomic_save", save)
    return lambda: monkeypatch.setattr(partial, "atomic_save", original)


@pytest.mark.parametrize("saves", [1, 4, 6])
def test_a_stopped_evaluation_goes_on_with_the_same_result(
    saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_of(made("protopnet"), 20)
    whole = json.dumps(measure(subject, NAMES).to_dict())
    go_on = stopping_after(saves, monkeypatch)
    with pytest.raises(Stop):
        measure(subject, NAMES, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    go_on()
    asked: list[int] = []
    monkeypatch.setattr(ImageDataset, "__getitems__", counting(ImageDataset.__getitems__, asked))
    assert json.dumps(measure(subject, NAMES, folder=tmp_path).to_dict()) == whole
    assert len(asked) < 24 + 20


def counting(original: Callable[..., Any], asked: list[int]) -> Callable[..., Any]:
    def read(self: ImageDataset, keys: Any) -> Any:
        asked.extend(keys)
        return original(self, keys)

    return read


def test_what_was_stopped_is_not_continued_with_other_settings_or_weights(tmp_path: Path) -> None:
    model = made("protopnet")
    subject = subject_of(model)
    others = [
        replace(subject, settings=replace(SETTINGS, seed=1)),
        replace(subject, data="other, test"),
        replace(subject, images=choose(subject.images, 8, 0)[0]),
        replace(subject, black_box=made("blackbox")),
    ]
    keys = {one.key(("accuracy",)) for one in [subject, *others]} | {subject.key(("accuracy", "ghosting"))}
    with torch.no_grad():
        model.prototypes.vectors += 1
    keys.add(subject.key(("accuracy",)))
    assert len(keys) == len(others) + 3


def test_a_damaged_state_is_not_read(tmp_path: Path) -> None:
    subject = subject_of(made("blackbox"))
    key = subject.key(("accuracy",))
    (tmp_path / f"{partial.PREFIX}{key}.pt").write_bytes(b"nothing")
    assert measure(subject, ("accuracy",), folder=tmp_path).evaluation.images == 12


def test_chosen_images_are_a_sample_in_drawn_order() -> None:
    source = noise_for(make("blackbox", encoder="small"), 30)
    images, order = choose(source, 10, 3)
    again, _ = choose(source, 10, 3)
    assert images.labels.tolist() == source.labels[order].tolist() == again.labels.tolist()
    assert len(np.unique(order)) == 10
    assert choose(source, 10, 4)[1].tolist() != order.tolist()
