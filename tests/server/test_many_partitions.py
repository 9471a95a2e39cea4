"""A topic of many partitions: nobody waits until all of its logs are made, and nobody sees it before."""

from pathlib import Path

from kbroker.server.hosting import LOGS_PER_TURN
from kbroker.testing import run, start
from protocol_specs import api
from protocol_specs.errors import ErrorCode
from tests.server.raw_peer import METADATA, RawPeer, batch_of, request_bytes

CREATE_TOPICS = 19
PARTITIONS = 12 * LOGS_PER_TURN
VERSION = 2


def test_others_are_served_while_the_logs_of_a_new_topic_are_made(tmp_path: Path) -> None:
    """A thousand partitions used to hold everybody up for more than a second."""
    with (
        start(data_dir=str(tmp_path / "data")) as broker,
        RawPeer(broker.bootstrap) as one,
        RawPeer(broker.bootstrap) as other,
    ):
        topic = api.messages(CREATE_TOPICS)[0].CreatableTopic(name="t", num_partitions=PARTITIONS, replication_factor=1)
        one.send(request_bytes(CREATE_TOPICS, version=VERSION, topics=[topic], timeout_ms=30_000))
        answers_between = 0
        while not (topics := other.ask(METADATA, topics=None).topics):
            answers_between += any((tmp_path / "data").glob("t-*"))
        assert len(topics[0].partitions) == PARTITIONS
        # One answer may have been on its way when the first log was made.
        assert answers_between > 1
        one.read_frame()
        assert one.produce("t", batch_of(b"v"), partition=PARTITIONS - 1).error_code == ErrorCode.NONE


def test_a_new_log_takes_no_descriptor_before_it_is_used(tmp_path: Path) -> None:
    """A thousand new partitions held a thousand; and their files were made on the loop."""
    with run(topics={"t": LOGS_PER_TURN + 1}, data_dir=str(tmp_path)) as broker:
        logs = [partition.log for partition in broker._broker.partitions]
        assert [log.is_asleep for log in logs] == [True] * (LOGS_PER_TURN + 1)
        with RawPeer(broker.bootstrap) as peer:
            assert peer.produce("t", batch_of(b"v"), partition=LOGS_PER_TURN).error_code == ErrorCode.NONE
        assert [log.is_asleep for log in logs] == [True] * LOGS_PER_TURN + [False]
