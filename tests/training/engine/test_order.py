import pytest

from resemblance.config.errors import UserError
from resemblance.training.engine.order import StepBatches, plan


def batches(
    steps_done: int = 0, seed: int = 0, stage: int = 0, rank: int = 0, world: int = 1, accumulate: int = 1
):
    return list(StepBatches(plan(103, 12, world, accumulate), seed, stage, lambda: steps_done, rank))


def test_an_epoch_sees_images_once_and_leaves_out_the_last_incomplete_batch():
    seen = [index for batch in batches() for _, index in batch]
    assert len(seen) == len(set(seen)) == 96
    assert set(seen) <= set(range(103))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_order_is_a_function_of_the_step(accumulate):
    whole = batches(0, accumulate=accumulate) + batches(8, accumulate=accumulate)
    for step in range(16):
        until = (step // 8 + 1) * 8
        assert batches(step, accumulate=accumulate) == whole[step * accumulate : until * accumulate]


def test_order_differs_between_seeds_stages_and_epochs():
    orders = [[index for batch in epoch for _, index in batch] for epoch in (
        batches(), batches(seed=1), batches(stage=1), batches(steps_done=8)
    )]  # fmt: skip
    assert len({tuple(order) for order in orders}) == 4


def test_epochs_are_handed_to_the_data_set():
    assert {epoch for batch in batches(steps_done=17) for epoch, _ in batch} == {2}


def test_processes_share_each_batch():
    alone = batches()
    shares = [batches(rank=rank, world=2, accumulate=2) for rank in range(2)]
    for step, batch in enumerate(alone):
        parts = [part for share in shares for part in share[2 * step : 2 * step + 2]]
        assert [len(part) for part in parts] == [3, 3, 3, 3]
        assert sorted(key for part in parts for key in part) == sorted(batch)


def test_a_set_smaller_than_a_batch_makes_one_batch():
    assert plan(7, 128).steps == 1
    assert plan(7, 128, world=2).batch == 6


def test_impossible_divisions_are_refused():
    with pytest.raises(UserError, match="--batch-size 78"):
        plan(1000, 80, world=3, accumulate=2)
    with pytest.raises(UserError, match="too few"):
        plan(1, 4, world=2)
