"""`kbroker dump`: what a frame or a file of a data directory says, in the words of the protocol's declarations.

One row per thing, printed as it is read, so that a file of any size takes little memory. Damaged input is shown as far
as it goes, then the command fails with where and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from kbroker.cli.dump.rows import Row, print_rows
from kbroker.cli.main import CommandFailed
from kbroker.real.files import base_name, mapped

Reader = Callable[[memoryview], Iterable[Row]]


@click.group()
def dump() -> None:
    """Show what a frame or a file of a data directory says."""


def _format_option(command: Any) -> Any:
    choice = click.Choice(["text", "jsonl"])
    return click.option("-f", "--format", "form", type=choice, default="text", help="[text]")(command)


def _show(path: str, form: str, reader: Reader) -> None:
    """Print the rows of a file. Raises CommandFailed where the file is damaged."""
    from kbroker.cli.dump.damage import DAMAGE

    try:
        print_rows(reader(mapped(path)), form)
    except DAMAGE as damage:
        raise CommandFailed(f"{path}: {damage}") from None


@dump.command()
@click.option("--key", type=int, required=True, help="The API key: 0 for Produce, and so on.")
@click.option("--api-version", type=int, required=True, help="The version of the request.")
@click.option("--request/--response", "is_request", default=True, help="Which of the two it is. [request]")
@click.argument("file")
@_format_option
def frame(file: str, key: int, api_version: int, is_request: bool, form: str) -> None:
    """A frame, field by field: where it stands, how long it is, its type and value.

    FILE holds a frame as on the wire, beginning with its size, or a body alone.
    """
    from kbroker.cli.dump.frames import frame_rows

    _show(file, form, lambda view: frame_rows(view, key, api_version, is_request=is_request))


@dump.command()
@click.option("--records", "with_records", is_flag=True, help="Show the records of each batch too.")
@click.argument("file")
@_format_option
def segment(file: str, with_records: bool, form: str) -> None:
    """A segment (.log): every batch, whether its checksum holds, and on request every record."""
    from kbroker.cli.dump.segments import segment_rows

    _show(file, form, lambda view: segment_rows(view, with_records=with_records))


@dump.command()
@click.argument("file")
@_format_option
def metadata(file: str, form: str) -> None:
    """A segment or snapshot (.log, .checkpoint) of the metadata log: every record as it is declared."""
    from kbroker.cli.dump.segments import metadata_rows

    _show(file, form, metadata_rows)


@dump.command()
@click.argument("file")
@_format_option
def index(file: str, form: str) -> None:
    """An offset index (.index): offsets and where their batches start."""
    from kbroker.cli.dump.tables import offset_index_rows

    _show(file, form, lambda view: offset_index_rows(view, base_name(file)))


@dump.command()
@click.argument("file")
@_format_option
def timeindex(file: str, form: str) -> None:
    """A time index (.timeindex): timestamps and offsets."""
    from kbroker.cli.dump.tables import time_index_rows

    _show(file, form, lambda view: time_index_rows(view, base_name(file)))


@dump.command()
@click.argument("file")
@_format_option
def txnindex(file: str, form: str) -> None:
    """An index of aborted transactions (.txnindex)."""
    from kbroker.cli.dump.tables import transaction_index_rows

    _show(file, form, transaction_index_rows)


@dump.command()
@click.argument("file")
@_format_option
def snapshot(file: str, form: str) -> None:
    """A producer snapshot (.snapshot): the idempotent producers of a partition."""
    from kbroker.cli.dump.tables import producer_rows

    _show(file, form, producer_rows)


@dump.command()
@click.argument("file")
@_format_option
def checkpoint(file: str, form: str) -> None:
    """A checkpoint of a log directory or of a partition's leader epochs."""
    from kbroker.cli.dump.tables import checkpoint_rows

    _show(file, form, lambda view: checkpoint_rows(view, base_name(file)))
