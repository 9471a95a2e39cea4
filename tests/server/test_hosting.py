"""What the broker says and does about the logs that an image assigns to it."""

from pathlib import Path

from kbroker.testing import start
from tests.server.raw_peer import RawPeer, batch_of


def test_a_log_that_recovery_cut_is_named_in_one_line(tmp_path: Path) -> None:
    """Records behind a damaged byte used to vanish without a word."""
    with start(data_dir=str(tmp_path), topics={"t": 1}) as broker:
        with RawPeer(broker.bootstrap) as peer:
            for _ in range(3):
                peer.produce("t", batch_of(b"record"), acks=1)
        broker.kill()
        segment = tmp_path / "t-0" / f"{0:020}.log"
        damaged = bytearray(segment.read_bytes())
        damaged[-5] ^= 0xFF
        segment.write_bytes(damaged)
        broker.restart()
        said = [line for line in broker.output().splitlines() if "cut behind its last sound batch" in line]
        assert len(said) == 1
        assert f"partition=t-0 end=2 bytes={len(damaged) // 3} segments=0" in said[0]
