"""The real clock's timers: they fire in order, once, and leave nothing behind."""

import trio
import trio.testing

from kbroker.real.clock import DEAD_MIN, RealClock

FAR_MS = 2**31 - 1


def test_cancelled_timers_do_not_pile_up():
    """They used to stay until their deadline, which a client chooses: up to 24 days."""
    clock = RealClock()
    live = [clock.call_at(clock.monotonic_ms() + FAR_MS, lambda: None) for _ in range(100)]
    for _ in range(5_000):
        clock.call_at(clock.monotonic_ms() + FAR_MS, lambda: None).cancel()
    assert len(clock._heap) <= 2 * len(live) + DEAD_MIN
    assert {entry[2] for entry in clock._heap} >= set(live)
    for timer in live:
        timer.cancel()
        timer.cancel()
    assert len(clock._heap) <= DEAD_MIN


async def test_timers_fire_in_order_whatever_is_cancelled_meanwhile(nursery):
    clock, fired, over = RealClock(), [], trio.Event()
    now_ms = clock.monotonic_ms()
    cancelled = [clock.call_at(now_ms + number % 2, lambda: fired.append("cancelled")) for number in range(300)]

    def fire(name):
        fired.append(name)
        for timer in cancelled[:200]:
            timer.cancel()
        del cancelled[:200]

    clock.call_at(now_ms - 2, lambda: fire("first"))
    last = clock.call_at(now_ms + 1, lambda: fire("third") or over.set())
    clock.call_at(now_ms - 1, lambda: fire("second"))
    nursery.start_soon(clock.run)
    with trio.fail_after(5):
        await over.wait()
    assert fired == ["first", "second", "third"]
    last.cancel()
    assert clock._dead == len(clock._heap) == 0
    nursery.cancel_scope.cancel()


async def test_what_is_to_be_done_soon_again_and_again_leaves_others_their_turn(nursery):
    """A timer that was due at once ran again in the same turn, as long as the millisecond lasted."""
    clock, done = RealClock(), []

    def again(name):
        done.append(name)
        clock.soon(lambda: again(name))

    async def other():
        while len(done) < 20:
            done.append("other")
            await trio.lowlevel.checkpoint()

    clock.soon(lambda: again("a"))
    clock.soon(lambda: again("b"))
    clock.soon(lambda: done.append("never")).cancel()
    nursery.start_soon(clock.run)
    nursery.start_soon(other)
    with trio.fail_after(5):
        while len(done) < 20:
            await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()
    assert "never" not in done
    turns = "".join(name[0] for name in done).replace("ab", "T")
    assert set(turns) == {"T", "o"}
    assert "TTT" not in turns, "trio runs the two tasks of a pass in any order"


async def test_what_is_to_be_done_soon_wakes_a_clock_that_waits(nursery):
    clock, over = RealClock(), trio.Event()
    nursery.start_soon(clock.run)
    await trio.testing.wait_all_tasks_blocked()
    clock.soon(over.set)
    with trio.fail_after(5):
        await over.wait()
    nursery.cancel_scope.cancel()
