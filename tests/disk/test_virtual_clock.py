"""A clock that only a test moves."""

from __future__ import annotations

from kbroker.testing.virtual_clock import VirtualClock


def test_timers_fire_in_order_each_at_its_own_moment() -> None:
    clock = VirtualClock()
    fired: list[tuple[str, int]] = []
    clock.call_at(30, lambda: fired.append(("late", clock.monotonic_ms())))
    clock.call_at(10, lambda: fired.append(("early", clock.monotonic_ms())))
    clock.call_at(10, lambda: fired.append(("early too", clock.monotonic_ms())))
    assert clock.advance(9) == 0
    assert clock.advance(21) == 3
    assert fired == [("early", 10), ("early too", 10), ("late", 30)]


def test_a_timer_set_by_a_timer_fires_in_the_same_advance_if_it_is_due() -> None:
    clock = VirtualClock()
    fired: list[int] = []

    def again() -> None:
        fired.append(clock.monotonic_ms())
        clock.call_at(clock.monotonic_ms() + 10, again)

    clock.call_at(10, again)
    clock.advance(35)
    assert fired == [10, 20, 30]
    assert clock.next_deadline_ms() == 40


def test_a_cancelled_timer_never_fires() -> None:
    clock = VirtualClock()
    fired: list[int] = []
    timer = clock.call_at(10, lambda: fired.append(1))
    timer.cancel()
    timer.cancel()
    assert clock.advance(100) == 0
    assert fired == []
    assert clock.next_deadline_ms() is None


def test_nothing_fires_inside_call_at() -> None:
    clock = VirtualClock()
    fired: list[int] = []
    clock.call_at(0, lambda: fired.append(1))
    assert fired == []
    clock.advance(0)
    assert fired == [1]


def test_the_wall_clock_moves_along_and_can_be_set() -> None:
    clock = VirtualClock(wall_ms=1000)
    clock.advance(5)
    assert (clock.wall_ms(), clock.monotonic_ms()) == (1005, 5)
    clock.step_wall(-500)
    assert (clock.wall_ms(), clock.monotonic_ms()) == (505, 5)
