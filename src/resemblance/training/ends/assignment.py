"""Assignment: prototypes that no class has taken are dropped, where classes choose theirs in training."""

from __future__ import annotations

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.training.ends.actions import ActionContext, action


@action("assign")
def assign(model: PrototypeModel, context: ActionContext) -> None:
    """Settle which classes own each prototype, and drop those that none owns.

    Nothing that the model answers depends on them, they have no images to be projected onto, and they would count
    as most similar ones in the survey. If no prototype is owned, all stay.

    Args:
        model: settles its owners in `Model.assign_owners`.
        context: is told how many were dropped, and which were kept.
    """
    if not isinstance(model, PrototypeModel):
        raise UserError(f"{model.name} has no prototypes to assign")
    model.assign_owners()
    owned = model.prototypes.owners.any(dim=1)
    dropped, count = int((~owned).sum()), len(owned)
    if not 0 < dropped < count:
        return
    kept = owned.nonzero().flatten()
    model.keep(kept)
    context.kept = kept.cpu()
    context.notes.append(f"dropped {dropped} of {count} prototypes, which no class has taken")
