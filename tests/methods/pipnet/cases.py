"""The case of pipnet, and its variants."""

from __future__ import annotations

from case import Case

CASE = Case(
    {
        **{"encoder": "small", "prototypes": 12},
        **{"pretrain_epochs": 2, "head_epochs": 1, "joint_epochs": 2},
    },
    alike={"view_strength": 0.0, "view_shift": 0},
    command="--encoder small --epochs 6",
    measured={"abstention": 0.0, "share of the prototypes that count for an answer": 0.001},
    explained=("presence",),
    page=("Scoring sheet", "How many prototypes decide", "Abstention, test"),
)

VARIANTS = {
    "pipnet": {"encoder": "small"},
    "pipnet released": {"encoder": "small", "prototypes": 12, "variant": "released"},
}
