"""`kbroker storage`: format log directories and look at them, as Apache Kafka's storage tool does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from kbroker.cli.main import EXIT_CONFIG, EXIT_FAILED, CommandFailed
from kbroker.cli.settings import Flags, load_config
from kbroker.config import BrokerConfig
from kbroker.config.endpoints import controllers_of, split_address
from kbroker.controller.formatting import (
    DYNAMIC_FLAGS,
    FEATURES,
    FormatRefused,
    bootstrap_records,
    feature_levels,
    parse_feature,
    release_name,
)
from kbroker.controller.scram_argument import scram_record
from kbroker.log.meta_properties import ForeignDirectory, MetaProperties
from kbroker.metadata.image import METADATA_VERSION
from kbroker.names import uuid_bytes, uuid_text
from kbroker.quorum.control import VoterEndpoint
from kbroker.quorum.solo import NOWHERE
from kbroker.real.files import FileUnreadable
from kbroker.real.make_world import make_world
from kbroker.server.formatting import NOTHING_LEFT, Plan, format_directories, read_meta
from kbroker.world import Disk, DiskFailure, World

REQUIRED: Final = ("process.roles", "node.id", "controller.listener.names")
"""What Kafka's configuration of a node has no default for."""


@click.group()
def storage() -> None:
    """Format log directories, and look at them."""


@storage.command("random-uuid")
def random_uuid() -> None:
    """Print a random uuid, fit for a cluster id."""
    click.echo(uuid_text(_world().entropy.uuid()))


@storage.command()
@click.option("--config", "-c", "properties", required=True, metavar="FILE", help="The server.properties to use.")
def info(properties: str) -> int:
    """Say what the log directories of a configuration are."""
    return _info(_world().disk, _load(properties))


@storage.command("format")
@click.option("--config", "-c", "properties", required=True, metavar="FILE", help="The server.properties to use.")
@click.option("--cluster-id", "-t", required=True, metavar="ID", help="The cluster id; see random-uuid.")
@click.option("--standalone", "-s", is_flag=True, help="This controller is the quorum, and says so in its log.")
@click.option("--no-initial-controllers", "-N", is_flag=True, help="Who votes is found out later; not served.")
@click.option("--initial-controllers", "-I", metavar="ID@HOST:PORT:DIRECTORY", help="Who votes; one is served.")
@click.option(
    "--feature", "-f", "features", multiple=True, metavar="NAME=LEVEL", help="Level of a feature; repeatable."
)
@click.option("--release-version", "-r", metavar="RELEASE", help="Release whose feature levels to take. [4.3-IV0]")
@click.option("--ignore-formatted", "-g", is_flag=True, help="Pass over directories that are formatted.")
@click.option("--add-scram", "-S", "scram", multiple=True, metavar="MECHANISM=[...]", help="A user; repeatable.")
def format_command(
    properties: str,
    cluster_id: str,
    standalone: bool,
    no_initial_controllers: bool,
    initial_controllers: str | None,
    features: Sequence[str],
    release_version: str | None,
    ignore_formatted: bool,
    scram: Sequence[str],
) -> None:
    """Format the log directories of a configuration for a cluster.

    Without controller.quorum.voters in the file, --standalone writes who votes into the metadata log's directory.
    """
    if standalone + no_initial_controllers + (initial_controllers is not None) > 1:
        raise click.UsageError(f"only one of {DYNAMIC_FLAGS} can be given")
    config = _load(properties)
    world = _world()
    try:
        voter = _voter(config, standalone, no_initial_controllers, initial_controllers)
        wanted = [parse_feature(text) for text in features]
        levels = feature_levels(wanted, release_version, is_dynamic=voter is not None)
        users = [scram_record(text, world.entropy.uuid() + world.entropy.uuid()) for text in scram]
        endpoints, directory_id = voter if voter is not None else (None, None)
        plan = Plan(
            directories=config.data_dirs,
            metadata_directory=config.metadata_dir,
            cluster_id=cluster_id,
            node_id=config.node_id,
            records=bootstrap_records(levels, users),
            metadata_version=levels[METADATA_VERSION],
            endpoints=endpoints,
            voter_directory_id=directory_id,
        )
        lines = format_directories(world.disk, world.clock, world.entropy, plan, ignore_formatted=ignore_formatted)
        for number, line in enumerate(lines):
            if number == 0 and line != NOTHING_LEFT:
                click.echo(_features_line(levels))
            click.echo(line)
    except (FormatRefused, ForeignDirectory, DiskFailure) as error:
        raise CommandFailed(str(error), EXIT_FAILED) from error


def _features_line(levels: dict[str, int]) -> str:
    named = ", ".join(f"{name}={levels[name]}" for name in sorted(FEATURES) if levels[name])
    return (
        f"Bootstrap metadata: metadata.version={release_name(levels[METADATA_VERSION])}{', ' if named else ''}{named}"
    )


Voting = tuple[tuple[VoterEndpoint, ...], bytes | None]
"""Where this node is to be found as a voter, and the directory id that it must have."""


def _voter(config: BrokerConfig, standalone: bool, none_yet: bool, controllers: str | None) -> Voting | None:
    """How this node votes by its log; None where controller.quorum.voters says who votes. Raises FormatRefused."""
    if config["controller.quorum.voters"]:
        if standalone or controllers is not None:
            raise FormatRefused(
                "controller.quorum.voters names the voters, so --standalone and --initial-controllers can't:"
                " leave out the one or the other"
            )
        return None
    if none_yet:
        raise FormatRefused(
            "--no-initial-controllers formats a node that joins the quorum of others, and this broker is a quorum of"
            " its own: use --standalone."
        )
    if controllers is not None:
        return _initial_controller(controllers, config)
    if not standalone:
        raise FormatRefused(f"who votes? Without controller.quorum.voters one of {DYNAMIC_FLAGS} is needed")
    found = tuple(VoterEndpoint(e.name, e.host, e.port) for e in controllers_of(config))
    return found or (NOWHERE,), None


def _initial_controller(text: str, config: BrokerConfig) -> Voting:
    """The one voter of --initial-controllers, which must be this node."""
    if "," in text:
        raise FormatRefused("several initial controllers are not served: this broker is a quorum of its own.")
    node, at, rest = text.partition("@")
    if not at:
        raise FormatRefused(f"{text!r} is not ID@HOST:PORT:DIRECTORY: there is no @")
    address, _, directory = rest.rpartition(":")
    try:
        node_id, (host, port), directory_id = int(node), split_address(address), uuid_bytes(directory)
    except ValueError as error:
        raise FormatRefused(f"{text!r} is not ID@HOST:PORT:DIRECTORY: {error}") from None
    if node_id != config.node_id:
        raise FormatRefused(f"{text!r} does not name node {config.node_id}: this broker is a quorum of its own.")
    names = [name.upper() for name in config["controller.listener.names"]] or [NOWHERE.name]
    return (VoterEndpoint(names[0], host, port),), directory_id


def _load(properties: str) -> BrokerConfig:
    try:
        config = load_config(Flags(properties=properties))
    except FileUnreadable as error:
        raise CommandFailed(str(error), EXIT_CONFIG) from error
    if config.is_in_memory:
        raise CommandFailed("log.dirs is memory: there is nothing to format", EXIT_CONFIG)
    lacks = _lacks(config)
    if lacks is not None:
        raise CommandFailed(f"{properties}: {lacks}", EXIT_CONFIG)
    return config


def _lacks(config: BrokerConfig) -> str | None:
    """What a file must say for Kafka to take it, and so for the directories to be of use; `serve` has defaults."""
    for name in REQUIRED:
        if not config.is_set(name):
            return f"{name} is not set"
    if not (config["controller.quorum.voters"] or config["controller.quorum.bootstrap.servers"]):
        return "no quorum is named: set controller.quorum.bootstrap.servers, or controller.quorum.voters"
    names = {name.upper() for name in config["controller.listener.names"]}
    if names.isdisjoint(listener.partition("://")[0].upper() for listener in config["listeners"]):
        return "no listener is named in controller.listener.names: add one to listeners"
    return None


def _world() -> World:
    # Nothing is handed to another thread here: what comes back runs where it is.
    return make_world(lambda action: action(), in_memory=False)


def _info(disk: Disk, config: BrokerConfig) -> int:
    """Print what Kafka's tool does; 1 when anything is amiss."""
    directories = [*dict.fromkeys([*config.data_dirs, config.metadata_dir])]
    found, problems = [directory for directory in directories if disk.is_directory(directory)], []
    metas: list[MetaProperties] = []
    for directory in directories:
        if directory not in found:
            problems.append(f"{directory} {'is not a directory' if disk.exists(directory) else 'does not exist'}")
            continue
        try:
            meta = read_meta(disk, directory)
        except (ForeignDirectory, DiskFailure) as error:
            problems.append(str(error))
            continue
        if meta is None:
            problems.append(f"{directory} is not formatted.")
        else:
            metas.append(meta)
    for what, ids in ("cluster", {each.cluster_id for each in metas}), ("node", {each.node_id for each in metas}):
        if len(ids) > 1:
            problems.append(f"Mismatched {what} IDs between storage directories.")
            break
    _print_list("Found log director", ("y", "ies"), found)
    if metas:
        click.echo(f"Found metadata: {_meta_text(metas[0])}\n")
    _print_list("Found problem", ("", "s"), problems)
    return 1 if problems else 0


def _print_list(title: str, endings: tuple[str, str], lines: Sequence[str]) -> None:
    if lines:
        click.echo(f"{title}{endings[len(lines) > 1]}:")
        for line in lines:
            click.echo(f"  {line}")
        click.echo()


def _meta_text(meta: MetaProperties) -> str:
    directory = "" if meta.directory_id is None else f", directory.id={uuid_text(meta.directory_id)}"
    return f"{{cluster.id={meta.cluster_id}{directory}, node.id={meta.node_id}, version=1}}"
