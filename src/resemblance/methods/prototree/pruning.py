"""Pruning of a tree: subtrees whose leaves are uninformative are cut off."""

from __future__ import annotations

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel
from resemblance.methods.prototree.model import ProtoTree
from resemblance.training.ends.actions import ActionContext, action


@action("prune_tree")
def prune_tree(model: PrototypeModel, context: ActionContext) -> None:
    """Prune a ProtoTree by its threshold, and assign the classes below each node to it.

    Raises:
        UserError: for another method.
    """
    if not isinstance(model, ProtoTree):
        raise UserError(f"{model.name} has no tree to prune")
    before, threshold = model.tree.nodes, model.config.threshold(model.spec.num_classes)
    context.kept = model.prune(threshold)
    model.assign_owners()
    context.notes.append(
        f"pruned {before - model.tree.nodes} of {before} nodes: below them no leaf had a class probability above "
        f"{threshold:.3g}; {model.tree.nodes} nodes and {model.tree.leaves} leaves are left"
    )
