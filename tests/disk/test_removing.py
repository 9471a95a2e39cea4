"""A directory that cannot be removed is not taken for one that is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kbroker.real.disk import RealDisk
from kbroker.world import DiskFailure


def test_a_directory_that_cannot_be_listed_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such errors were swallowed: the directory stayed, and nobody was told."""
    (tmp_path / "a").mkdir()

    def refusing(path: Any) -> Any:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(os, "scandir", refusing)
    disk = RealDisk()
    with pytest.raises(DiskFailure, match="a: Input/output error"):
        disk.remove_tree(str(tmp_path / "a"))


def test_one_that_is_not_there_is_gone(tmp_path: Path) -> None:
    RealDisk().remove_tree(str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
