"""Settings that the cases of several methods with weighted parts share."""

from __future__ import annotations

# Two projections, so that the optimiser state is kept from one stage to another.
PARTS = {
    "encoder": "small",
    "prototypes_per_class": 2,
    "prototype_depth": 8,
    "warm_epochs": 1,
    "joint_epochs": 3,
    "push_every": 2,
    "last_epochs": 1,
}
QUICK_PARTS = "--encoder small --prototypes-per-class 2 --prototype-depth 16 --push-every 2 --epochs 6"
# Next to a projected prototype, the logarithm is so steep that rounding errors become a thousand times larger.
LINEAR = {"similarity": "linear"}
