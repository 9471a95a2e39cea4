"""Producer ids come from blocks."""

from cluster import after, cluster

from kbroker.controller.producer_ids import ProducerIdBlock, ProducerIdSupply, allocate_block


def test_blocks_follow_one_another() -> None:
    first = allocate_block(cluster(), 1)
    second = allocate_block(after(cluster(), first), 1)
    assert (first.response, second.response) == (ProducerIdBlock(0, 1000), ProducerIdBlock(1000, 2000))


def test_a_block_is_recorded_with_the_epoch_of_its_broker() -> None:
    (record,) = allocate_block(cluster(), 1).records
    assert (record.broker_id, record.broker_epoch, record.next_producer_id) == (1, 101, 1000)


def test_a_supply_hands_out_each_id_once_and_then_says_that_it_is_empty() -> None:
    supply = ProducerIdSupply()
    assert supply.take() is None
    supply.add(ProducerIdBlock(1000, 1003))
    assert [supply.take() for _ in range(4)] == [1000, 1001, 1002, None]
