"""All checks by name, and which of them apply to a model."""

from __future__ import annotations

from collections.abc import Sequence

from resemblance.audit.audit_check import Check
from resemblance.audit.audited import AuditSubject
from resemblance.audit.integrity.certificate_check import CertificateCheck
from resemblance.audit.integrity.prototype_swap import PrototypeSwapCheck
from resemblance.audit.integrity.provenance_check import ProvenanceCheck
from resemblance.audit.places.head_disappears import HeadDisappears
from resemblance.audit.places.head_on_stomach import HeadOnStomach
from resemblance.audit.reasons.moved_map import MovedMap
from resemblance.audit.reasons.nonsense import Nonsense
from resemblance.audit.reasons.other_prototype import OtherPrototype
from resemblance.audit.reasons.same_reasons import SameReasons
from resemblance.audit.reasons.triggers import Triggers
from resemblance.audit.shifts.shifts_check import ShiftsCheck
from resemblance.metrics.suite.result import LeftOut

KINDS: tuple[type[Check], ...] = (
    ProvenanceCheck,
    Nonsense,
    CertificateCheck,
    ShiftsCheck,
    HeadOnStomach,
    HeadDisappears,
    OtherPrototype,
    MovedMap,
    SameReasons,
    PrototypeSwapCheck,
    Triggers,
)
CHECKS = {kind.name: kind for kind in KINDS}


def planned(subject: AuditSubject, names: Sequence[str]) -> tuple[list[Check], list[LeftOut]]:
    """Return the checks of a model by their names, and those that do not apply, with the reason.

    Args:
        subject: the model, and all that the checks read.
        names: names of `config.audit.check_names.CHECKS`.
    """
    checks, left_out = [], []
    for name in names:
        kind = CHECKS[name]
        reason = kind.obstacle(subject)
        if reason is None:
            checks.append(kind(subject))
        else:
            left_out.append(LeftOut(name, reason))
    return checks, left_out
