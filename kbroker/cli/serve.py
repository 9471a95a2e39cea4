"""`kbroker serve`: configuration in, a running broker, and an orderly end.

stdout carries the banner and, last, the line that says ready and where; stderr the log.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import click

import kbroker
from kbroker.cli.logs import set_up_logging
from kbroker.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_STARTUP, CommandFailed
from kbroker.cli.settings import Flags, load_config, printed_config
from kbroker.config import BrokerConfig
from kbroker.config.modes import MODE_SUMMARIES, MODES
from kbroker.log.meta_properties import FILE_NAME as META_FILE
from kbroker.real.files import FileUnreadable, absolute, check_replaceable, exists, remove, replace_text
from kbroker.real.process import (
    forget_stdout,
    postpone_garbage_collection,
    process_id,
    resume_garbage_collection,
)

log = logging.getLogger("kbroker.serve")

FORCED_EXIT: Final = EXIT_FAILED
"""The exit code after a second signal: the data directory was left as after a crash."""


@click.command()
@click.argument("properties", required=False, metavar="[server.properties]")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 is any free one. [localhost:9092]")
@click.option("--advertise", metavar="HOST:PORT|auto", help="What clients are told; auto: the address they dialled.")
@click.option("--data-dir", metavar="DIR|memory:", help="Where data is kept. [./kbroker-data]")
@click.option("--topic", "topics", multiple=True, metavar="NAME:PARTITIONS[:RF]", help="Make a topic; repeatable.")
@click.option("-o", "--override", "overrides", multiple=True, metavar="KEY=VALUE", help="Set any config; repeatable.")
@click.option("--ready-file", metavar="FILE", help="Written as JSON once clients can connect.")
@click.option("--mode", default="dev", metavar="dev|test|strict", help="Presets; `--mode help` prints them.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of the log. [text]")
@click.option("--log-level", default="INFO", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), help="[INFO]")
@click.option("--check-config", is_flag=True, help="Only check the configuration.")
@click.option("--print-config", is_flag=True, help="Only print every config, its value and where it came from.")
def serve(mode: str, **given: Any) -> int:
    """Run a broker; without arguments on localhost:9092, with data in ./kbroker-data.

    Values come from flags, then -o, then KBROKER_* variables, then the properties file, then the mode, then Kafka's
    defaults. A first SIGINT or SIGTERM stops in order, a second one at once.
    """
    if mode == "help":
        click.echo(mode_help())
        return 0
    if mode not in MODES:
        raise click.BadParameter(f"{mode!r} is not one of {', '.join(MODES)}, help", param_hint="'--mode'")
    try:
        config = load_config(Flags(mode, *(given[name] for name in Flags._fields[1:])))
    except FileUnreadable as error:
        raise CommandFailed(str(error), EXIT_CONFIG) from error
    if given["print_config"]:
        click.echo(printed_config(config))
        return 0
    if given["check_config"]:
        _say_remarks(config)
        click.echo("configuration is valid")
        return 0
    set_up_logging(given["log_format"], given["log_level"])
    for warning in config.remarks.warnings:
        log.warning(warning)
    for note in config.remarks.notes:
        log.info(note)
    return serve_until_stopped(config, given["ready_file"])


def mode_help() -> str:
    """What each mode presets."""
    lines = []
    for mode, presets in MODES.items():
        lines.append(f"{mode}: {MODE_SUMMARIES[mode]}")
        lines += [f"  {name}={text}" for name, text in presets.items()]
    return "\n".join(lines)


def serve_until_stopped(config: BrokerConfig, ready_file: str | None) -> int:
    """Run a broker until a signal stops it; the exit code. Raises CommandFailed when it can't start."""
    postpone_garbage_collection()
    try:
        from kbroker.cli.running import run_broker

        _check_formatted(config)
        if ready_file is not None:
            _prepare(ready_file)
        return run_broker(config, lambda broker: _announce(broker, config, ready_file), FORCED_EXIT)
    finally:
        resume_garbage_collection()
        if ready_file is not None:
            remove(ready_file)


def _check_formatted(config: BrokerConfig) -> None:
    """A Kafka server's file names the node's roles: its directories are formatted by whoever knows the cluster's id.

    Without one a broker formats its own. Each of them counts, as with Kafka: one that is empty may be a disk that isn't
    mounted. Raises CommandFailed.
    """
    if config.is_in_memory or not config.is_set("process.roles"):
        return
    for directory in dict.fromkeys((config.metadata_dir, *config.data_dirs)):
        if not exists(f"{directory}/{META_FILE}"):
            quorum = "" if config["controller.quorum.voters"] else "--standalone "
            file = config.origin("process.roles").place or "server.properties"
            hint = f'kbroker storage format {quorum}--cluster-id "$(kbroker storage random-uuid)" --config {file}'
            raise CommandFailed(f"{directory} has no meta.properties: format it with {hint}", EXIT_STARTUP)


def _prepare(ready_file: str) -> None:
    """A ready file must never outlive the broker it speaks of; and one that can't be written is told at once."""
    try:
        remove(ready_file)
        check_replaceable(ready_file)
    except FileUnreadable as error:
        raise CommandFailed(str(error), EXIT_STARTUP) from error


def _announce(broker: Any, config: BrokerConfig, ready_file: str | None) -> None:
    resume_garbage_collection()
    if ready_file is not None:
        try:
            replace_text(ready_file, ready_json(broker.bootstrap, config))
        except FileUnreadable as error:
            raise CommandFailed(str(error), EXIT_STARTUP) from error
    try:
        for line in banner(broker.bootstrap, config):
            click.echo(line)
    except OSError as error:
        # Whoever started us waits for the last line and would wait for ever.
        forget_stdout()
        raise CommandFailed(f"stdout: {error.strerror}", EXIT_STARTUP) from error


def banner(bootstrap: str, config: BrokerConfig) -> list[str]:
    """At most six lines for a person; the last one is for programs too."""
    data = "in memory, gone at the end" if config.is_in_memory else absolute(config.data_dir)
    told = ", ".join(f"{host}:{port}" for host, port in config.advertised.values()) or "the address they dialled"
    return [
        f"kbroker {kbroker.__version__}, mode {config.mode}, node {config.node_id}",
        f"  data     {data}",
        f"  clients  are told {told}",
        f"  try      echo hello | kcat -b {bootstrap} -P -t greetings && kcat -b {bootstrap} -C -t greetings -e",
        f"kbroker ready on {bootstrap}",
    ]


def ready_json(bootstrap: str, config: BrokerConfig) -> str:
    """What the ready file says: `bootstrap`, `pid`, `data_dir` (null in memory) and `nodes`."""
    import json

    host, _, port = bootstrap.rpartition(":")
    node = {"node_id": config.node_id, "host": host.strip("[]"), "port": int(port), "pid": process_id()}
    data_dir = None if config.is_in_memory else absolute(config.data_dir)
    ready = {"bootstrap": bootstrap, "pid": process_id(), "data_dir": data_dir, "nodes": [node]}
    return json.dumps(ready) + "\n"


def _say_remarks(config: BrokerConfig) -> None:
    for warning in config.remarks.warnings:
        click.echo(f"warning: {warning}", err=True)
    for note in config.remarks.notes:
        click.echo(f"note: {note}", err=True)
