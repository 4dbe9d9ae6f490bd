"""The case of protopool, and its variants."""

from __future__ import annotations

from torch import nn

from case import Case
from resemblance.methods.protopool.slots import TEMPERATURE, Slots


class Noiseless(Slots):
    """Slots without a random draw, which would differ between processes."""

    def draw(self, scale):
        return (scale * self.logits.float() / TEMPERATURE).softmax(dim=2)


def remove_draws(model: nn.Module) -> None:
    """Replace the slots of a model by slots without random draws."""
    for module in model.modules():
        if isinstance(module, Slots):
            module.__class__ = Noiseless


CASE = Case(
    {
        **{"encoder": "small", "slots": 2, "prototypes": 24, "prototype_depth": 8},
        **{"warm_epochs": 1, "joint_epochs": 2, "last_epochs": 2},
    },
    # More steps would leave Adam time to make full steps of rounding errors.
    alike={"mixup": False, "joint_epochs": 1},
    remove_draws=remove_draws,
    command="--encoder small --slots 3 --prototype-depth 16 --epochs 3",
    page=("Classes that share prototypes",),
)

VARIANTS = {
    "protopool": {"encoder": "small", "slots": 3, "prototype_depth": 16},
    "protopool released": {"encoder": "small", "slots": 3, "prototype_depth": 16, "variant": "released"},
    "protopool plain": {"encoder": "small", "slots": 4, "prototypes": 3, "focal": False, "mixup": False},
}
