"""The real world for one broker: this machine's clock, disk or memory, entropy and network."""

from __future__ import annotations

from collections.abc import Callable

from kbroker.real import network
from kbroker.real.clock import RealClock
from kbroker.real.disk import RealDisk
from kbroker.real.entropy import RealEntropy
from kbroker.real.memory_disk import MemoryDisk
from kbroker.real.writeback import Writeback
from kbroker.world import World


def make_world(post: Callable[[Callable[[], None]], None], *, in_memory: bool) -> World:
    """Made on the thread that will own the state; `post` runs a callable there from any thread.

    The clock's timers fire while its `run()` runs; the disk's threads end with its `close()`.
    """
    clock = RealClock()
    disk = MemoryDisk(clock.wall_ms) if in_memory else RealDisk(post, writeback=Writeback())
    return World(clock, disk, RealEntropy(), network)
