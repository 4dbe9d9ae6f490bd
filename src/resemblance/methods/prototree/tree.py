"""A binary decision tree as tensors, complete or pruned, walked level by level."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Tree(nn.Module):
    """A full binary tree of P nodes that ask and L = P + 1 leaves that answer, numbered in level order.

    Its shape is one row of flags: which of its 2P + 1 positions, read level by level and from left to right, ask.
    The k-th position that asks has its children at positions 2k + 1 (left) and 2k + 2 (right), whatever the shape,
    as in a heap. All else is derived from that row, also when another one is loaded.

    Args:
        asks: (2P + 1,) bool.

    Attributes:
        ancestors: (L, S) int64, the nodes asked on the way to each leaf, root first, −1 past its end.
        present: (L, S) bool, whether the way goes right there.
        below: (P, L) bool, whether a leaf lies below a node.

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
        derive(self)
        self.register_load_state_dict_post_hook(derive)  # type: ignore[no-untyped-call]

    @classmethod
    def complete(cls, depth: int) -> Tree:
        """The tree of 2^depth − 1 nodes and 2^depth leaves."""
        return cls(torch.arange(2 ** (depth + 1) - 1) < 2**depth - 1)

    @property
    def nodes(self) -> int:
        """P, how many nodes ask."""
        return len(self.below)

    @property
    def leaves(self) -> int:
        """L, how many leaves answer."""
        return self.nodes + 1

    @property
    def depth(self) -> int:
        """The largest number of questions on the way to a leaf."""
        return self.ancestors.shape[1]

    def paths(self, right: Tensor, left: Tensor, log: bool = False) -> Tensor:
        """Probabilities of the ways to the leaves, (B, L), level by level.

        Args:
            right: (B, P) probability of going right at each node.
            left: (B, P) of going left.
            log: whether these are logarithms; then so is the result.
        """
        combine = torch.add if log else torch.mul
        reach = right.new_full((len(right), 1), 0.0 if log else 1.0)
        found, node, place = [], 0, 0
        for inner, answering in self._levels:
            if answering:
                order = self._order[place : place + inner + answering]
                found.append(reach.index_select(1, order[inner:]))
                reach = reach.index_select(1, order[:inner])
            level = slice(node, node + inner)
            reach = torch.stack([combine(reach, left[:, level]), combine(reach, right[:, level])], dim=2)
            reach, node, place = reach.flatten(1), node + inner, place + inner + answering
        return torch.cat([*found, reach], dim=1)

    def greedy(self, right: Tensor) -> Tensor:
        """The leaf (B,) that is reached by going right wherever its probability (B, P) is above one half."""
        node = torch.zeros(len(right), dtype=torch.int64, device=right.device)
        leaf = node.clone()
        for _ in range(self.depth):
            turn = right.gather(1, node.clamp_min(0)[:, None])[:, 0] > 0.5
            number = self._positions[2 * node.clamp_min(0) + 1 + turn]  # node, or −1 − leaf
            leaf = torch.where((node >= 0) & (number < 0), -1 - number, leaf)
            node = torch.where(node >= 0, number, node)
        return leaf

    def pruned(self, dead: Tensor, keep_root: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """What is left without the subtrees that have only dead leaves: the sibling takes the parent's place.

        Nothing is cut where no node would be left.

        Args:
            dead: (L,) bool.
            keep_root: whether the children of the root are never cut.

        Returns:
            The new shape (2P' + 1,), and the old numbers of the nodes (P',) and leaves (P' + 1,) that stay, in
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

        def settle(position: int, root: bool = False) -> int:
            """The position that stands here after cutting."""
            while asks[position]:
                left, right = 2 * numbers[position] + 1, 2 * numbers[position] + 2
                alive = right if gone[left] else left
                fixed = root and (keep_root or not asks[alive])
                if gone[left] == gone[right] or fixed:
                    break
                position = alive
            return position

        queue = [settle(0, root=True)]
        for position in queue:  # grows while it is walked through
            if asks[position]:
                queue += [settle(2 * numbers[position] + 1), settle(2 * numbers[position] + 2)]
        device = self.asks.device
        shape = torch.tensor([asks[position] for position in queue], device=device)
        nodes = [numbers[position] for position in queue if asks[position]]
        leaves = [-1 - numbers[position] for position in queue if not asks[position]]
        return shape, torch.tensor(nodes, device=device), torch.tensor(leaves, device=device)

    def reshape(self, asks: Tensor) -> None:
        """Take another shape (2P' + 1,)."""
        self.asks = asks.clone()
        derive(self)


def derive(tree: Tree, *_: Any) -> None:
    """Compute what follows from the shape; also run after a shape was loaded."""
    device, asks = tree.asks.device, tree.asks.cpu()
    inner, answering = asks.nonzero().flatten(), (~asks).nonzero().flatten()
    positions = torch.empty(len(asks), dtype=torch.int64)
    positions[inner] = torch.arange(len(inner))
    positions[answering] = -1 - torch.arange(len(answering))
    # Levels: each holds two positions for every node of the level above.
    tree._levels, order, start, size = [], [], 0, 1
    while size and bool((level := asks[start : start + size]).any()):
        count = int(level.sum())
        tree._levels.append((count, size - count))
        order.append((~level).to(torch.uint8).argsort(stable=True))
        start, size = start + size, 2 * count
    # Ways, from the leaves up; then the root comes first, and what is missing last.
    way, place = [], answering
    while bool((place > 0).any()):
        parent = torch.where(place > 0, (place - 1) // 2, -1)
        way.append((parent, (place % 2 == 0) & (place > 0)))
        place = torch.where(parent >= 0, inner[parent.clamp_min(0)], 0)
    ancestors = torch.stack([nodes for nodes, _ in reversed(way)], dim=1)
    present = torch.stack([right for _, right in reversed(way)], dim=1)
    first = (ancestors < 0).to(torch.uint8).argsort(dim=1, stable=True)
    ancestors, present = ancestors.gather(1, first), present.gather(1, first)
    below = torch.zeros(len(answering), len(inner) + 1, dtype=torch.bool).scatter_(
        1, ancestors % (len(inner) + 1), True
    )
    tree.ancestors, tree.present = ancestors.to(device), present.to(device)
    tree.below = below[:, :-1].T.contiguous().to(device)
    tree._positions, tree._order = positions.to(device), torch.cat(order).to(device)
