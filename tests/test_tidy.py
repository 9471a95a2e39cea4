"""The house rules that a machine can check: who may touch the world, how long things are, what is named and written."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("kbroker", "protocol_specs")
WORLDLY = frozenset({"os", "pathlib", "mmap", "socket", "time", "random", "uuid", "secrets", "fcntl"})
BANNED_NAMES = frozenset({"utils", "util", "common", "helpers", "models", "misc"})
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 800


def _sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def _imported(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


def test_the_checks_see_the_code() -> None:
    """A wrong ROOT would let every other check pass over nothing."""
    seen = {_name(path) for path in _sources(*SHIPPED)}
    assert {"kbroker/world.py", "kbroker/config/definition.py", "protocol_specs/grammar.py"} <= seen


def test_only_the_real_package_touches_the_world() -> None:
    found = [
        f"{_name(path)}:{line} imports {module}"
        for path in _sources(*SHIPPED)
        if not _name(path).startswith("kbroker/real/")
        for module, line in _imported(path)
        if module in WORLDLY
    ]
    found += [
        f"{_name(path)}:{node.lineno} calls open()"
        for path in _sources(*SHIPPED)
        if not _name(path).startswith("kbroker/real/")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    ]
    assert found == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    found = [_name(path) for path in _sources(*SHIPPED, "tests", "compat") if path.stem in BANNED_NAMES]
    found += [_name(path) for path in _sources(*SHIPPED, "tests", "compat") if path.parent.name in BANNED_NAMES]
    assert found == []


@pytest.mark.parametrize("folder", [*SHIPPED, "tests", "compat"])
def test_no_function_is_longer_than_a_screen(folder: str) -> None:
    found = [
        f"{_name(path)}:{function.lineno} {function.name} has {length} lines"
        for path in _sources(folder)
        for function in _functions(path)
        if (length := (function.end_lineno or function.lineno) - function.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert found == []


def test_no_module_outgrows_a_sitting() -> None:
    lengths = {_name(path): len(path.read_text("utf-8").splitlines()) for path in _sources(*SHIPPED, "tests", "compat")}
    assert {name: length for name, length in lengths.items() if length > MODULE_LINES_MAX} == {}


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )


def test_everything_is_caught_in_one_place_at_most() -> None:
    found = [
        f"{_name(path)}:{node.lineno}"
        for path in _sources(*SHIPPED)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node)
    ]
    assert len(found) <= 1, found


def _is_public(name: str) -> bool:
    return not name.startswith("_")


def _undocumented(body: list[ast.stmt], owner: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and _is_public(node.name):
            if ast.get_docstring(node) is None and not _is_explained_elsewhere(node):
                yield f"{owner}:{node.lineno} {node.name}"
            if isinstance(node, ast.ClassDef):
                yield from _undocumented(node.body, owner)


def _is_explained_elsewhere(node: ast.stmt) -> bool:
    """Overloads and setters are explained by the function they belong to; overrides by what they override."""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    names = {ast.unparse(decorator) for decorator in node.decorator_list}
    return any(name == "overload" or name == "override" or name.endswith(".setter") for name in names)


@pytest.mark.parametrize("folder", SHIPPED)
def test_every_public_thing_is_documented(folder: str) -> None:
    found = [_name(path) for path in _sources(folder) if path.stat().st_size and ast.get_docstring(_tree(path)) is None]
    found += [thing for path in _sources(folder) for thing in _undocumented(_tree(path).body, _name(path))]
    assert found == []


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "kbroker" / "ARCHITECTURE.md").read_text("utf-8")
    packages = [path.parent.name for path in (ROOT / "kbroker").glob("*/__init__.py")]
    assert packages
    assert [name for name in sorted(packages) if f"{name}/" not in text and f"`{name}`" not in text] == []


def test_no_test_is_skipped_without_a_reason() -> None:
    found = []
    for path in _sources("tests"):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "pytest.skip",
                "pytest.mark.skip",
                "pytest.mark.skipif",
            ):
                reasons = [keyword for keyword in node.keywords if keyword.arg == "reason"]
                if not reasons and not (ast.unparse(node.func) == "pytest.skip" and node.args):
                    found.append(f"{_name(path)}:{node.lineno}")
    assert found == []


def test_nothing_is_left_for_later() -> None:
    words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "Not" + "ImplementedError"]
    found = [
        f"{_name(path)}:{number} {word}"
        for path in _sources(*SHIPPED, "tests", "compat")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for word in words
        if word in line
    ]
    assert found == []


def test_python_files_parse_as_the_oldest_python_we_serve() -> None:
    for path in _sources(*SHIPPED):
        ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 11))
