"""How many files the logs keep open."""

from __future__ import annotations

from kbroker.log.open_files import FileHandle, OpenFiles
from kbroker.real.memory_disk import MemoryDisk


def _opened(files: OpenFiles, *names: str) -> list[FileHandle]:
    handles = [FileHandle(files, name) for name in names]
    for handle in handles:
        handle.file(create=True)
    return handles


def test_the_longest_unused_file_is_closed() -> None:
    files = OpenFiles(MemoryDisk(), limit=2)
    first, second, _ = _opened(files, "a", "b", "c")
    assert (first.is_open, second.is_open, len(files)) == (False, True, 2)


def test_what_was_pinned_over_the_bound_is_closed_when_it_is_free() -> None:
    """One file was closed for each one opened: what pins had once let grow over the bound stayed over it for ever."""
    files = OpenFiles(MemoryDisk(), limit=2)
    pinned = [FileHandle(files, name) for name in "abcdef"]
    for handle in pinned:
        handle.pins += 1
        handle.file(create=True)
    assert len(files) == 6
    for handle in pinned:
        handle.unpin()
    _opened(files, "g")
    assert len(files) == 2


def test_a_file_in_use_stays_open_whatever_the_bound() -> None:
    files = OpenFiles(MemoryDisk(), limit=1)
    (used,) = _opened(files, "a")
    used.pins += 1
    _opened(files, "b", "c")
    assert used.is_open
    used.unpin()
    _opened(files, "d")
    assert not used.is_open
