"""A binary decision tree as tensors, complete or pruned, processed level by level."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

DEEPEST = 14  # as in the configuration; the tensors of the paths grow with nodes times leaves


class Tree(nn.Module):
    """A full binary tree of P inner nodes ("ask") and L = P + 1 leaves, numbered in level order.

    Its shape is one row of flags, which of its 2P + 1 positions, level by level and from left to right, ask. The k-th
    position that asks has its children at positions 2k + 1 (left) and 2k + 2 (right), whatever the shape, as in a
    heap. All other tensors are derived from this row, also after another row is loaded.

    Args:
        asks: (2P + 1,) bool.

    Raises:
        ValueError: if these flags are not the shape of a tree of at most 14 levels of nodes.

    Attributes:
        ancestors: (L, S) int64, the nodes on the path to each leaf, root first, −1 after the end of the path.
        present: (L, S) bool, whether the path goes right at each of them.
        below: (P, L) bool, whether a leaf is below a node.

    Example:
        >>> tree = Tree.complete(2)
        >>> tree.nodes, tree.leaves, tree.ancestors.tolist()
        (3, 4, [[0, 1], [0, 1], [0, 2], [0, 2]])
        >>> tree.paths(torch.tensor([[0.6, 0.9, 0.5]]), torch.tensor([[0.4, 0.1, 0.5]]))
        tensor([[0.0400, 0.3600, 0.3000, 0.3000]])
    """

    asks: Tensor
    ancestors: Tensor
    present: Tensor
    below: Tensor
    _positions: Tensor
    _order: Tensor

    def __init__(self, asks: Tensor) -> None:
        super().__init__()
        self.register_buffer("asks", asks.bool())
        for name in ("ancestors", "present", "below", "_positions", "_order"):
            self.register_buffer(name, torch.empty(0), persistent=False)
        self._levels: list[tuple[int, int]] = []
        derive_tensors(self)
        self.register_load_state_dict_post_hook(derive_tensors)  # type: ignore[no-untyped-call]

    @classmethod
    def complete(cls, depth: int) -> Tree:
        """Make the tree of 2^depth − 1 nodes and 2^depth leaves."""
        return cls(torch.arange(2 ** (depth + 1) - 1) < 2**depth - 1)

    @property
    def nodes(self) -> int:
        """P, the number of inner nodes."""
        return len(self.below)

    @property
    def leaves(self) -> int:
        """L, the number of leaves."""
        return self.nodes + 1

    @property
    def depth(self) -> int:
        """The largest number of nodes on the path to a leaf."""
        return self.ancestors.shape[1]

    def paths(self, right: Tensor, left: Tensor, log: bool = False) -> Tensor:
        """Compute the probabilities of the paths to the leaves, (B, L), level by level.

        Args:
            right: (B, P), probability of going right at each node.
            left: (B, P), probability of going left.
            log: whether these are logarithms, as the result is then too.
        """
        combine = torch.add if log else torch.mul
        reach = right.new_full((right.shape[0], 1), 0.0 if log else 1.0)
        finished, node, place = [], 0, 0
        for inner, leaves in self._levels:
            if leaves:
                order = self._order[place : place + inner + leaves]
                finished.append(reach.index_select(1, order[inner:]))
                reach = reach.index_select(1, order[:inner])
            level = slice(node, node + inner)
            reach = torch.stack([combine(reach, left[:, level]), combine(reach, right[:, level])], dim=2)
            reach, node, place = reach.flatten(1), node + inner, place + inner + leaves
        return torch.cat([*finished, reach], dim=1)

    def greedy(self, right: Tensor) -> Tensor:
        """Return the leaf (B,) that is reached by going right wherever its probability (B, P) is above one half."""
        node = torch.zeros(right.shape[0], dtype=torch.int64, device=right.device)
        leaf = node.clone()
        for _ in range(self.depth):
            turn = right.gather(1, node.clamp_min(0)[:, None])[:, 0] > 0.5
            number = self._positions[2 * node.clamp_min(0) + 1 + turn]  # node, or −1 − leaf
            leaf = torch.where((node >= 0) & (number < 0), -1 - number, leaf)
            node = torch.where(node >= 0, number, node)
        return leaf

    def pruned(self, dead: Tensor, keep_root: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the tree without the subtrees whose leaves are all dead; the sibling replaces the parent.

        Nothing is cut if no node would be left.

        Args:
            dead: (L,) bool, the leaves to cut.
            keep_root: whether the children of the root are never cut.

        Returns:
            The new shape (2P' + 1,), and the old numbers of the nodes (P',) and leaves (P' + 1,) that are kept, in
            their new order.
        """
        asks, numbers = self.asks.tolist(), self._positions.tolist()
        # A position is dead if all leaves below it are; children come after their parents.
        gone = [False] * len(asks)
        for position in reversed(range(len(asks))):
            number = numbers[position]
            gone[position] = (
                gone[2 * number + 1] and gone[2 * number + 2] if number >= 0 else bool(dead[-1 - number])
            )

        def replacement(position: int, root: bool = False) -> int:
            """Return the position that replaces this one after cutting."""
            while asks[position]:
                left, right = 2 * numbers[position] + 1, 2 * numbers[position] + 2
                alive = right if gone[left] else left
                fixed = root and (keep_root or not asks[alive])
                if gone[left] == gone[right] or fixed:
                    break
                position = alive
            return position

        queue = [replacement(0, root=True)]
        for position in queue:  # grows during the loop
            if asks[position]:
                queue += [replacement(2 * numbers[position] + 1), replacement(2 * numbers[position] + 2)]
        device = self.asks.device
        shape = torch.tensor([asks[position] for position in queue], device=device)
        nodes = [numbers[position] for position in queue if asks[position]]
        leaves = [-1 - numbers[position] for position in queue if not asks[position]]
        return shape, torch.tensor(nodes, device=device), torch.tensor(leaves, device=device)

    def reshape(self, asks: Tensor) -> None:
        """Replace the shape by another, (2P' + 1,)."""
        self.asks = asks.clone()
        derive_tensors(self)


def derive_tensors(tree: Tree, *_: Any) -> None:
    """Compute the tensors that follow from the shape; also called after a shape is loaded."""
    # On the CPU also while the model is built on the meta device: the sizes follow from values.
    with torch.device("cpu"):
        _derive(tree)


def _derive(tree: Tree) -> None:
    device, asks = tree.asks.device, tree.asks.cpu()
    inner, leaves = asks.nonzero().flatten(), (~asks).nonzero().flatten()
    if not 0 < len(inner) < 2**DEEPEST:
        raise ValueError(f"a tree has 1 to {2**DEEPEST - 1:,} nodes")
    if len(leaves) != len(inner) + 1 or bool((inner > 2 * torch.arange(len(inner))).any()):
        raise ValueError("the flags of the nodes that ask are not the shape of a tree")
    positions = torch.empty(len(asks), dtype=torch.int64)
    positions[inner] = torch.arange(len(inner))
    positions[leaves] = -1 - torch.arange(len(leaves))
    # Levels: each holds two positions for every node of the level above.
    tree._levels, order, start, size = [], [], 0, 1
    while size and bool((level := asks[start : start + size]).any()):
        count = int(level.sum())
        tree._levels.append((count, size - count))
        order.append((~level).to(torch.uint8).argsort(stable=True))
        start, size = start + size, 2 * count
        if len(tree._levels) > DEEPEST:
            raise ValueError(f"a tree has at most {DEEPEST} levels of nodes")
    # Paths, from the leaves up; then they are reversed, so that the root is first and missing entries are last.
    steps, place = [], leaves
    while bool((place > 0).any()):
        parent = torch.where(place > 0, (place - 1) // 2, -1)
        steps.append((parent, (place % 2 == 0) & (place > 0)))
        place = torch.where(parent >= 0, inner[parent.clamp_min(0)], 0)
    ancestors = torch.stack([nodes for nodes, _ in reversed(steps)], dim=1)
    present = torch.stack([right for _, right in reversed(steps)], dim=1)
    first = (ancestors < 0).to(torch.uint8).argsort(dim=1, stable=True)
    ancestors, present = ancestors.gather(1, first), present.gather(1, first)
    below = torch.zeros(len(leaves), len(inner) + 1, dtype=torch.bool).scatter_(
        1, ancestors % (len(inner) + 1), True
    )
    tree.ancestors, tree.present = ancestors.to(device), present.to(device)
    tree.below = below[:, :-1].T.contiguous().to(device)
    tree._positions, tree._order = positions.to(device), torch.cat(order).to(device)
