"""Assignment: where classes choose their prototypes in training, drop the prototypes that no class has chosen."""

from __future__ import annotations

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.training.ends.actions import ActionContext, action


@action("assign")
def assign(model: PrototypeModel, context: ActionContext) -> None:
    """Decide which classes own each prototype, and drop the prototypes without an owner.

    No score depends on them, they have no images to be projected onto, and they would be counted as the most similar
    prototypes of some images. If no prototype has an owner, all stay.

    Args:
        model: decides the owners in `PrototypeModel.assign_owners`.
        context: receives the indices of the prototypes that were kept, and a note.
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
    context.notes.append(f"dropped {dropped} of {count} prototypes, which no class has chosen")
