"""Small files of the user, outside any data directory: settings to read, dumps to read, a ready file to write."""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap


class FileUnreadable(Exception):
    """A file can't be opened, read or written; str() names it and says why."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"{path}: {error.strerror or error}")
        self.path = path


def read_text(path: str) -> str:
    """A whole file as ISO-8859-1 where it is not UTF-8 (as old properties files are). Raises FileUnreadable."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


def read_bytes(path: str) -> bytes:
    """A whole file. Raises FileUnreadable."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise FileUnreadable(path, error) from error


def mapped(path: str) -> memoryview:
    """The bytes of a file without reading them all; unmapped when the last view is gone. Raises FileUnreadable."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return memoryview(mmap(file.fileno(), 0, access=ACCESS_READ) if size else b"")
    except OSError as error:
        raise FileUnreadable(path, error) from error


def replace_text(path: str, text: str) -> None:
    """Write `text` so that a reader sees all of it or nothing. Raises FileUnreadable."""
    unfinished = f"{path}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(unfinished, path)
    except OSError as error:
        remove(unfinished)
        raise FileUnreadable(path, error) from error


def check_replaceable(path: str) -> None:
    """See that `replace_text` could write `path`, by making and removing its unfinished file. Raises FileUnreadable."""
    unfinished = f"{path}.{os.getpid()}.tmp"
    try:
        with open(unfinished, "w", encoding="utf-8"):
            pass
    except OSError as error:
        raise FileUnreadable(path, error) from error
    remove(unfinished)


def remove(path: str) -> None:
    """Remove a file; harmless when there is none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileUnreadable(path, error) from error


def exists(path: str) -> bool:
    """Is there a file or directory of that name?"""
    return os.path.exists(path)


def absolute(path: str) -> str:
    """The path from the root, whatever the working directory."""
    return os.path.abspath(path)


def base_name(path: str) -> str:
    """The last part of a path."""
    return os.path.basename(path)
