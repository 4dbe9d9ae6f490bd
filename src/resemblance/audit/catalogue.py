"""All checks by name, and which of them apply to a model."""

from __future__ import annotations

from collections.abc import Sequence

from resemblance.audit.audit_check import Check
from resemblance.audit.audited import AuditSubject
from resemblance.audit.shifts.shifts_check import ShiftsCheck
from resemblance.metrics.suite.result import LeftOut

KINDS: tuple[type[Check], ...] = (ShiftsCheck,)
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
