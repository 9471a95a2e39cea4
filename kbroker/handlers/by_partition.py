"""Requests that name partitions by topic and want an answer for each: given in turns, what is cold once it is warm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from kbroker.handlers.answer import Answer, Long
from kbroker.handlers.cold import TRIES_MAX, Cold, once_warm
from kbroker.turns import Pace, Turns
from kbroker.world import ColdRead

PARTITION_UNITS: Final = 2
"""What the answer for a partition costs; see Pace. Who wakes a log for it spends more."""

AnswerOne = Callable[[Any, Any, bool], Any]
"""(topic, partition as it is named, may it wait for the medium?) -> the partition's answer; may raise ColdRead."""


class _Place(NamedTuple):
    """Where an answer belongs, and what is asked."""

    answers: list[Any]
    place: int
    topic: Any
    wanted: Any


def answer_each(
    topics: Iterable[Any],
    begin: Callable[[Any], Any],
    answer_one: AnswerOne,
    respond: Callable[[list[Any]], Any],
    pace: Pace,
) -> Turns[Answer]:
    """`respond(answers for topics)`; `begin` makes that for one topic, and its `partitions` are filled here."""
    answers: list[Any] = []
    return _answer(_places(topics, begin, answers), answer_one, lambda: Long(respond(answers)), pace, 0)


def _places(topics: Iterable[Any], begin: Callable[[Any], Any], answers: list[Any]) -> Iterator[_Place | None]:
    """The places in their order, and None for each topic."""
    for topic in topics:
        answer = begin(topic)
        answers.append(answer)
        yield None
        for wanted in topic.partitions:
            answer.partitions.append(None)
            yield _Place(answer.partitions, len(answer.partitions) - 1, topic, wanted)


def _answer(
    places: Iterable[_Place | None], answer_one: AnswerOne, respond: Callable[[], Answer], pace: Pace, tries: int
) -> Turns[Answer]:
    cold, left = Cold(), []
    for each in places:
        if pace.is_over(1 if each is None else PARTITION_UNITS):
            yield
        if each is not None:
            try:
                each.answers[each.place] = answer_one(each.topic, each.wanted, tries >= TRIES_MAX)
            except ColdRead as missing:
                cold.append(missing)
                left.append(each)
    if not cold:
        return respond()

    def again(has_failed: bool) -> Turns[Answer]:
        return _answer(left, answer_one, respond, Pace(), TRIES_MAX if has_failed else tries + 1)

    return once_warm(cold, again)
