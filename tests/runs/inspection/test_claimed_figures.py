"""Claimed figures and options that contradict each other are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from damages import Damage, assert_found, edit, forged

DAMAGES: dict[str, Damage] = {
    "better accuracy claimed": (
        lambda run: forged(run, "facts", "accuracy", "test", 0.99),
        "contradiction",
        "claim different figures, accuracy on test: 99.00 % and ",
    ),
    "impossible accuracy": (
        lambda run: forged(run, "facts", "accuracy", "test", 1.2),
        "contradiction",
        "claims 1.2 for accuracy on test, which is not a share",
    ),
    "more prototypes claimed": (
        lambda run: forged(run, "facts", "prototypes", 9),
        "contradiction",
        "config.json claims 9 prototypes, but the weights have 4",
    ),
    "measurements edited": (
        lambda run: edit(run, "test", "accuracy", 0.9),
        "contradiction",
        "by the confusion matrix, ",
    ),
    "confusion edited": (
        lambda run: edit(run, "test", "confusion", [[5, 0], [0, 5]]),
        "contradiction",
        "the confusion matrix counts 10 images, but 8 are claimed",
    ),
    "confusion and wrong images": (
        lambda run: edit(run, "val", "wrong", [0] * 8),
        "contradiction",
        "8 misclassified images are listed, but the confusion matrix counts",
    ),
    "gap edited": (
        lambda run: (edit(run, "val", "black_box", 1.0), edit(run, "val", "gap", 0.0)),
        "contradiction",
        "a gap of 0.00 points is claimed, but it is ",
    ),
    "agreement edited": (
        lambda run: (edit(run, "val", "black_box", 1.0), edit(run, "val", "agreement", 0.99)),
        "contradiction",
        "model and black box are claimed to agree on 99.00 % of the images, but their accuracies allow only",
    ),
    "measurements of another method": (
        lambda run: edit(run, "method", "kmex"),
        "contradiction",
        "metrics.json is of the method 'kmex'",
    ),
    "measurements no JSON": (
        lambda run: (run / "metrics.json").write_text("{"),
        "unreadable",
        "metrics.json cannot be read",
    ),
    "options no YAML": (
        lambda run: (run / "config.yaml").write_text("a: [1"),
        "unreadable",
        "config.yaml",
    ),
    "options of another method": (
        lambda run: (run / "config.yaml").write_text("command: train\nmethod: kmex\n"),
        "contradiction",
        "config.yaml is of the method 'kmex'",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_each_damage_is_found(name: str, run: Path) -> None:
    assert_found(run, DAMAGES[name])
