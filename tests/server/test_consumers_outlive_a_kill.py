"""Consumers that were there before a broker was killed, and read on when it is back."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from kbroker.testing import start
from tests.server.raw_peer import WAIT_S, RawPeer, batch_of

CONSUMER = """
import sys
from kafka import KafkaConsumer, TopicPartition
consumer = KafkaConsumer(bootstrap_servers=sys.argv[1], fetch_max_wait_ms=100, auto_offset_reset="none")
consumer.assign([TopicPartition("t", 0)])
consumer.seek(TopicPartition("t", 0), 0)
for record in consumer:
    print(record.offset, record.value.decode(), flush=True)
"""
"""kafka-python in a process of its own: it leaves sockets to the garbage collector."""


def test_a_consumer_that_asks_where_its_epoch_ended_reads_on(tmp_path: Path) -> None:
    """A kill raises the leader epoch, and kafka-python 3 then asks OffsetForLeaderEpoch until it gets an answer."""
    with start(data_dir=str(tmp_path / "data"), topics={"t": 1}) as broker:
        command = [sys.executable, "-W", "ignore", "-c", CONSUMER, broker.bootstrap]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as consumer:
            overdue = threading.Timer(3 * WAIT_S, consumer.kill)
            overdue.start()
            assert consumer.stdout is not None
            for number in range(3):
                if number:
                    broker.kill()
                    broker.restart()
                with RawPeer(broker.bootstrap) as peer:
                    assert peer.produce("t", batch_of(b"%d" % number)).error_code == 0
                assert consumer.stdout.readline() == f"{number} {number}\n"
            overdue.cancel()
            consumer.kill()
