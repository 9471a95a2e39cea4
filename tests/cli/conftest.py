"""Commands that set their process up, in a process that is everybody's."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """The root logger's level and handlers, as the test found them.

    `serve` used to leave its own behind: later tests, in any folder, heard of INFO, and wrote to a stream that was
    closed.
    """
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
