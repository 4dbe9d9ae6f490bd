"""The check "latent certificate" as a whole."""

from __future__ import annotations

import pytest
import torch

from audit.integrity.finished import finished
from models import make
from resemblance.audit.audit_runner import run_checks
from resemblance.audit.audited import AuditSubject
from resemblance.audit.integrity.certificate_check import CertificateCheck


@pytest.mark.parametrize("name", ["kmex", "protopnet", "protopnet 2x2", "tesnet", "prototypedl", "protovae"])
def test_the_share_is_that_of_images_beyond_the_scale(name):
    made = finished(name)
    subject = made.subject()
    subject.labelled = False
    [finding] = run_checks(subject, ("certificate",)).findings
    check = CertificateCheck(subject)
    records = [check.examine(part) for part in range(check.parts())]
    radii = torch.cat([record["radii"] for record in records])
    moved = torch.cat([record["moved"] for record in records])
    assert len(radii) == len(made.train)
    assert (radii >= 0).all()
    assert (moved > 0).all()
    expected = sum(radius > sorted(moved.tolist())[(len(moved) - 1) // 2] for radius in radii.tolist()) / len(
        radii
    )
    assert finding.values[0].name == "certificate"
    assert finding.value("certificate").value == pytest.approx(expected)
    assert finding.value("certificate_radius").value == pytest.approx(float(radii.median()))
    assert any("says nothing about pixels" in note for note in finding.notes)
    assert finding.examples[0].png.startswith(b"\x89PNG")


def test_models_without_a_certificate_are_named():
    for method, settings in (
        ("prototree", {"encoder": "small", "prototype_depth": 8}),
        ("kmex", {"encoder": "small", "patches": True}),
        ("flint", {"encoder": "mnist", "attributes": 7}),
    ):
        made = make(method, **settings).eval()
        source = finished("kmex").train
        [left] = run_checks(AuditSubject("run", made, source), ("certificate",)).left_out
        assert method in left.reason
    [left] = run_checks(
        AuditSubject("run", make("blackbox", encoder="small"), source), ("certificate",)
    ).left_out
    assert left.reason == "blackbox has no prototypes"
