"""Trees as tensors, compared with trees as nested tuples."""

from __future__ import annotations

import pytest
import torch

from resemblance.methods.prototree.tree import Tree

# A nested tree: a leaf is None, a node (left, right).
LOPSIDED = ((None, ((None, None), None)), None)


def flags(tree):
    """Return whether each position asks, level by level."""
    queue, asks = [tree], []
    for node in queue:
        asks.append(node is not None)
        if node is not None:
            queue += node
    return torch.tensor(asks)


def complete(depth):
    return None if depth == 0 else (complete(depth - 1), complete(depth - 1))


def plain_paths(tree, right):
    """Compute the probabilities of the leaves of a nested tree in level order, for one image, from the root down."""
    queue, node = [(tree, 1.0)], 0
    probabilities = []
    for part, reach in queue:
        if part is None:
            probabilities.append(reach)
        else:
            queue += [(part[0], reach * (1 - right[node])), (part[1], reach * right[node])]
            node += 1
    return probabilities


@pytest.mark.parametrize("shape", [complete(1), complete(4), LOPSIDED])
def test_paths_are_those_of_a_walk(shape):
    tree = Tree(flags(shape))
    right = torch.rand(3, tree.nodes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    paths = tree.paths(right, 1 - right)
    for row in range(3):
        assert paths[row].tolist() == pytest.approx(plain_paths(shape, right[row].tolist()), rel=1e-12)
    assert torch.allclose(paths.sum(1), torch.ones(3, dtype=torch.float64))
    logs = tree.paths(right.log(), (1 - right).log(), log=True)
    assert torch.allclose(logs.exp(), paths)


def test_ancestors_describe_the_same_paths():
    tree = Tree(flags(LOPSIDED))
    assert tree.depth == 4
    assert tree.ancestors.tolist() == [
        [0, -1, -1, -1],
        [0, 1, -1, -1],
        [0, 1, 2, -1],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
    ]
    assert tree.present.sum(dim=1).tolist() == [1, 0, 2, 1, 2]
    right = torch.rand(2, tree.nodes)
    asked = torch.where(tree.present, right[:, tree.ancestors], 1 - right[:, tree.ancestors])
    product = asked.masked_fill(tree.ancestors < 0, 1.0).prod(dim=2)
    assert torch.allclose(product, tree.paths(right, 1 - right))
    assert tree.below.sum(dim=1).tolist() == [5, 4, 3, 2]


def test_greedy_follows_the_more_probable_branch():
    tree = Tree(flags(LOPSIDED))
    right = torch.tensor([[0.9, 0, 0, 0], [0.5, 0.4, 1, 1], [0.1, 0.8, 0.2, 0.6], [0.1, 0.8, 0.2, 0.5]])
    assert tree.greedy(right).tolist() == [0, 1, 4, 3]


def test_greedy_and_the_most_probable_leaf_may_differ():
    """Use the fact sheet's values: root right .6, right child .5, left child .9."""
    tree = Tree.complete(2)
    right = torch.tensor([[0.6, 0.9, 0.5]])
    paths = tree.paths(right, 1 - right)
    assert paths.max().item() == pytest.approx(0.36)
    assert paths.argmax().item() == 1
    assert tree.greedy(right).item() == 2
    assert paths[0, 2].item() == pytest.approx(0.3)


def plain_pruned(tree, dead, keep_root):
    """Return the nested tree without dead subtrees; leaves are their numbers."""

    def gone(part):
        return part in dead if isinstance(part, int) else all(gone(child) for child in part)

    def cut(part, root=False):
        if isinstance(part, int):
            return part
        left, right = part
        if gone(left) != gone(right):
            other = right if gone(left) else left
            if not (root and (keep_root or isinstance(other, int))):
                return cut(other, root)
        return (cut(left), cut(right))

    return cut(tree, True)


def numbered(shape):
    """Return the nested tree with its leaves numbered in level order."""
    tree = Tree(flags(shape))
    leaves = iter(range(10**6))
    paths = {tuple(turns): next(leaves) for turns in _turns(tree)}

    def name(part, path=()):
        return paths[path] if part is None else (name(part[0], (*path, False)), name(part[1], (*path, True)))

    return name(shape)


def _turns(tree):
    for nodes, present in zip(tree.ancestors.tolist(), tree.present.tolist(), strict=True):
        yield [turn for node, turn in zip(nodes, present, strict=True) if node >= 0]


def unnumbered(part):
    return None if isinstance(part, int) else tuple(unnumbered(child) for child in part)


def in_level_order(part):
    queue = [part]
    for node in queue:
        if not isinstance(node, int):
            queue += node
    return [node for node in queue if isinstance(node, int)]


@pytest.mark.parametrize("keep_root", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_pruning_agrees_with_nested_trees(seed, keep_root):
    shape = LOPSIDED if seed % 5 == 0 else complete(4)
    tree = Tree(flags(shape))
    generator = torch.Generator().manual_seed(seed)
    dead = torch.rand(tree.leaves, generator=generator) < (0.5, 0.7, 0.9)[seed % 3]
    named = numbered(shape)
    expected = plain_pruned(named, set(dead.nonzero().flatten().tolist()), keep_root)
    asks, nodes, leaves = tree.pruned(dead, keep_root)
    assert asks.tolist() == flags(unnumbered(expected)).tolist()
    assert leaves.tolist() == in_level_order(expected)
    assert len(nodes) == len(leaves) - 1
    if keep_root:
        assert nodes[0] == 0


def test_nothing_is_cut_where_no_node_would_be_left():
    tree = Tree.complete(2)
    assert tree.pruned(torch.ones(4, dtype=torch.bool))[1].tolist() == [0, 1, 2]
    tree = Tree.complete(1)
    assert tree.pruned(torch.tensor([True, False]))[1].tolist() == [0]


def test_a_loaded_shape_replaces_the_shape():
    small, large = Tree(flags(LOPSIDED)), Tree.complete(4)
    large.asks = torch.empty_like(small.asks)
    large.load_state_dict(small.state_dict())
    right = torch.rand(2, small.nodes)
    assert torch.equal(large.paths(right, 1 - right), small.paths(right, 1 - right))
    assert list(small.state_dict()) == ["asks"]
