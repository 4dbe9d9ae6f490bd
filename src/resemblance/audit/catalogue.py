"""All checks by name."""

from __future__ import annotations

from resemblance.audit.audit_check import Check
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
CHECKS: dict[str, type[Check]] = {kind.name: kind for kind in KINDS}
