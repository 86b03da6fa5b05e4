import pytest

from colorgan.data.order import StepBatchSampler, batch_keys

OPTIONS = {"num_items": 7, "batch_size": 4, "seed": 3}


def sequence(num_steps, **options):
    return [key for step in range(num_steps) for key in batch_keys(**{**OPTIONS, **options}, step=step)]


def test_batch_is_a_pure_function_of_seed_and_step():
    expected = [batch_keys(**OPTIONS, step=step) for step in range(10)]
    assert [batch_keys(**OPTIONS, step=step) for step in reversed(range(10))] == expected[::-1]
    assert sequence(10, seed=4) != sequence(10)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 20])
def test_each_epoch_is_a_permutation(batch_size):
    keys = sequence(40, batch_size=batch_size)
    orders = set()
    for epoch in range(len(keys) // 7):
        window = keys[7 * epoch : 7 * epoch + 7]
        assert {number for number, _ in window} == {epoch}
        assert sorted(position for _, position in window) == list(range(7))
        orders.add(tuple(position for _, position in window))
    assert len(orders) > 1


def test_order_does_not_depend_on_the_batch_size():
    assert sequence(20, batch_size=7) == sequence(7, batch_size=20)


def test_batch_may_be_larger_than_the_set():
    keys = batch_keys(num_items=3, batch_size=8, seed=0, step=2)
    assert [epoch for epoch, _ in keys] == [5, 5, 6, 6, 6, 7, 7, 7]


def test_ranks_partition_the_global_batch():
    whole = list(StepBatchSampler(**OPTIONS, num_steps=6))
    ranks = [list(StepBatchSampler(**OPTIONS, num_steps=6, rank=rank, world_size=2)) for rank in range(2)]
    assert [len(batch) for rank in ranks for batch in rank] == [2] * 12
    for step, batch in enumerate(whole):
        assert sorted(ranks[0][step] + ranks[1][step]) == sorted(batch)


def test_sampler_goes_on_exactly_where_it_stopped():
    whole = list(StepBatchSampler(**OPTIONS, num_steps=9))
    assert len(whole) == 9
    for start in (0, 1, 5, 9):
        assert list(StepBatchSampler(**OPTIONS, num_steps=9, start_step=start)) == whole[start:]


def test_length_counts_the_finished_steps_too():
    assert len(StepBatchSampler(**OPTIONS, num_steps=9, start_step=5)) == 9


def test_batch_that_ranks_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"batch_size=4 cannot be shared by 3 processes \(batch_size\)"):
        StepBatchSampler(**OPTIONS, num_steps=1, world_size=3)
