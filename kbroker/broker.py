"""One broker: everything wired together, from the first bind to the clean-shutdown marker.

    bind listeners -> lock and read the log directories -> replay the metadata log -> register -> open partitions
    -> load groups -> create wished-for topics -> accept                      (ready)
    stop: accept no more -> resign coordinators -> send what is owed -> flush, checkpoint, mark clean

All state hangs under the Broker object; two of them in one process share nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import outcome
import trio

from kbroker.config import BrokerConfig
from kbroker.config.endpoints import address_text, controllers_of
from kbroker.controller.directories import Placed, assign, lose
from kbroker.controller.leadership import renew
from kbroker.controller.registration import Registration, UnsupportedMetadataVersion
from kbroker.controller.wished_topics import create_wished
from kbroker.group.events import DeletedTopic
from kbroker.handlers.registry import load_handlers
from kbroker.log.directories import LogDirectories
from kbroker.log.directory import METADATA_PARTITION, LogDirectory
from kbroker.log.open_files import open_files_max
from kbroker.log.partition_log import InconsistentTopicId
from kbroker.metadata.delta import InconsistentRecord
from kbroker.metadata.image import METADATA_VERSION, Endpoint
from kbroker.metadata.records import METADATA_VERSION_LATEST, METADATA_VERSION_LOWEST, UnknownRecord
from kbroker.quorum.control import VoterEndpoint
from kbroker.quorum.election import ElectionUnreadable
from kbroker.quorum.solo import NotSolo
from kbroker.real.files import absolute
from kbroker.real.make_world import make_world
from kbroker.real.process import descriptors_max
from kbroker.record.compression import CorruptRecords
from kbroker.server.cleaner import LogCleaner
from kbroker.server.coordinators import GroupCoordinators
from kbroker.server.formatting import read_bootstrap
from kbroker.server.gate import Gate
from kbroker.server.hosting import Hosting, LostEnd, say_what_was_found
from kbroker.server.housekeeping import Housekeeping
from kbroker.server.listener import Connections, Limits
from kbroker.server.lost_metadata import MetadataLost, check_not_lost
from kbroker.server.metadata_log import ELECTION_FILE, MetadataLog, check_election
from kbroker.server.metadata_replay import newest_snapshot_end
from kbroker.server.metadata_snapshots import MetadataSnapshots, SnapshotSettings, metadata_log_settings
from kbroker.session import FetchSessions
from kbroker.world import DiskFailure, JobFailed, RunningClock, World
from protocol_specs.grammar import MalformedFrame

if TYPE_CHECKING:
    from kbroker.handlers.context import RequestContext
    from kbroker.log.partition_log import PartitionLog
    from kbroker.log.settings import LogSettings
    from kbroker.metadata.delta import MetadataDelta
    from kbroker.metadata.image import MetadataImage
    from kbroker.names import TopicPartition

SECURITY_PROTOCOLS: Final = {"PLAINTEXT": 0, "SSL": 1, "SASL_PLAINTEXT": 2, "SASL_SSL": 3}
MEMORY_DATA_DIR: Final = "/kbroker"
METADATA_DIFFICULTIES: Final = (
    InconsistentTopicId,
    CorruptRecords,
    MalformedFrame,
    UnknownRecord,
    InconsistentRecord,
    ElectionUnreadable,
    NotSolo,
    UnsupportedMetadataVersion,
    MetadataLost,
)
"""What a start can find in the metadata log's directory that it must not guess about."""

log = logging.getLogger("kbroker.broker")


class MetadataUnusable(Exception):
    """The metadata log cannot be lived with: going on would invent another cluster. str() says where and why."""


class Broker:
    """A broker and its whole state. `run` serves once; a new start is a new Broker."""

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config
        self.node_id = config.node_id
        self.cluster_id = ""
        self.is_blocked = False
        """Is a start or a stop busy with the disk? No task runs then, and an exception may end it in the middle."""
        self.leaves_disk = False
        """Set by who ends the process in the middle of that: the disk's threads are not waited for."""
        self._stopping = trio.Event()
        self._scope = trio.CancelScope()
        self._failure: DiskFailure | JobFailed | None = None
        self._listeners: list[tuple[str, Any]] = []
        self._ports: dict[str, tuple[str, int]] = {}

    # ---- life

    async def run(self, task_status: trio.TaskStatus[Broker] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until stop() or abort(); `task_status.started(self)` once clients can connect.

        Raises PortTaken, DirectoryLocked, ForeignDirectory, DuplicateLog, MetadataUnusable, DiskFailure, JobFailed.
        """
        token = trio.lowlevel.current_trio_token()

        def post(action: Callable[[], None]) -> None:
            token.run_sync_soon(self._follow_work, action)

        world = make_world(post, in_memory=self.config.is_in_memory)
        try:
            self._bind(world)
            with self._scope:
                await self._serve(world, task_status)
        finally:
            self._unbind()
            if not self.leaves_disk:
                world.disk.close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End in order; harmless twice. On the broker's thread, like everything here."""
        self._stopping.set()

    def abort(self) -> None:
        """End now, leaving the directory as a crash would."""
        self._scope.cancel()

    @property
    def bootstrap(self) -> str:
        """host:port of the first listener, the real port."""
        host, port = self._ports[self.config.listeners[0].name]
        return address_text(host, port)

    async def _serve(self, world: World, task_status: trio.TaskStatus[Broker]) -> None:
        self.clock, self.disk, self.entropy = world.clock, world.disk, world.entropy
        with self._blocking():
            directories = self._open_directories(world)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_time, world.clock)
                await self._start(world, directories)
                connections = self._connections(world)
                nursery.start_soon(connections.serve, self._listeners, nursery)
                connections.sweep()
                task_status.started(self)
                await self._stopping.wait()
                connections.stop_accepting()
                self._unbind()
                self._resign()
                await connections.drain()
                nursery.cancel_scope.cancel()
            if self._failure is None:
                self._close(world, directories)
        finally:
            # After a failure or abort(): unlock once nothing is written any more, and leave the rest to recovery. Where
            # the disk is left as it is, the end of the process unlocks.
            if not self.leaves_disk:
                with self._blocking():
                    world.disk.close()
                    directories.close(clean=False)

    async def _start(self, world: World, directories: LogDirectories) -> None:
        """Everything between the locks and the first accepted connection."""
        self._hosting = Hosting(self.config, directories)
        self._hosting.on_placed = self._placed
        self._hosting.on_lost = self._lost
        self._hosting.later = self.clock.soon
        self.partitions = self._hosting.partitions
        registered = trio.Event()
        with self._blocking():
            opened = self._open_metadata(world, directories, registered)
        await registered.wait()
        self._snapshots = MetadataSnapshots(
            self.metadata,
            opened,
            world.disk,
            world.clock,
            SnapshotSettings.of(self.config),
            directories.metadata.fail,
        )
        with self._blocking():
            self._hosting.host_all(self.image)
        self.metadata.before_publishing = self._hosting.open_ahead
        self.metadata.on_published = self._published
        self.metadata.after_publishing = self._finish
        self.sessions = FetchSessions(self.config["max.incremental.fetch.session.cache.slots"], self.entropy.below)
        self.groups = GroupCoordinators(self)
        self.groups.follow_metadata()
        self._gate = Gate(self, load_handlers())
        self._housekeeping = Housekeeping(self.config, self.clock, directories, self._hosting)
        self._cleaner = LogCleaner(self.config, self.clock, world.disk, directories, self.partitions)
        await self._create_wished_topics()

    def _open_metadata(self, world: World, directories: LogDirectories, registered: trio.Event) -> PartitionLog:
        """Replay the metadata log and have this broker registered in it. Raises MetadataUnusable, DuplicateLog."""
        directory = directories.metadata
        path = f"{directory.path}/{METADATA_PARTITION}"
        try:
            check_election(world.disk, path, self.node_id)
            check_not_lost(directory, directories.online)
            snapshot_end = newest_snapshot_end(world.disk, path)
            opened = directory.open_metadata_log(metadata_log_settings(self.config), snapshot_end=snapshot_end)
            say_what_was_found(opened)
            self.metadata = MetadataLog(
                opened,
                world.disk,
                world.clock,
                node_id=self.node_id,
                cluster_id=self.cluster_id,
                directory_id=directory.directory_id,
                on_fatal=self._fail,
                endpoints=self._voter_endpoints(),
            )
            for reason in self.metadata.replayed.passed_over:
                log.warning("a metadata snapshot is damaged: passed over, and removed", extra={"reason": reason})
            registration = self._registration(directories.ids, read_bootstrap(world.disk, directory.path))
            self.metadata.examine(registration)
            self._hosting.examine(self.image)
            directories.begin()
            self.metadata.start(registration, lambda _: registered.set())
            if self.metadata.lacked_election:
                reason = f"{path}/{ELECTION_FILE} is missing"
                log.warning("who leads is told by the metadata log alone", extra={"reason": reason})
        except METADATA_DIFFICULTIES as error:
            raise MetadataUnusable(f"{path}: {error}") from error
        return opened

    def _open_directories(self, world: World) -> LogDirectories:
        """Lock the data directories, claim those that are new, and see that all are ours."""
        config = self.config
        paths, home = [MEMORY_DATA_DIR], MEMORY_DATA_DIR
        if not config.is_in_memory:
            paths, home = [absolute(path) for path in config.data_dirs], absolute(config.metadata_dir)
        self.directories = directories = LogDirectories.open(
            world.disk,
            paths,
            world.clock,
            world.entropy,
            node_id=self.node_id,
            cluster_id=config["kbroker.cluster.id"],
            metadata_path=home,
            open_files_max=open_files_max(descriptors_max()),
        )
        self.cluster_id = directories.cluster_id
        directories.on_failure = self._directory_failed
        for path, failure in directories.failures.items():
            log.error("the log directory is offline", extra={"path": path, "reason": failure.reason})
        for reason in directories.damage:
            log.warning("a log directory was mended", extra={"reason": reason})
        return directories

    async def _create_wished_topics(self) -> None:
        wishes = self.config.topics
        if not wishes:
            return
        created = trio.Event()

        def told(refusals: dict[str, Any]) -> None:
            for name, refused in refusals.items():
                log.error("a topic cannot be made", extra={"topic": name, "reason": refused.reason})
            created.set()

        self.metadata.propose(lambda image: create_wished(image, wishes, self.config, self.entropy), told)
        await created.wait()

    def _resign(self) -> None:
        self._housekeeping.stop()
        self._cleaner.stop()
        self._snapshots.stop()
        self.groups.stop()

    def _close(self, world: World, directories: LogDirectories) -> None:
        """Flush, checkpoint, mark clean. Nobody is served any more, so this may block."""
        with self._blocking():
            try:
                world.disk.drain()
            except JobFailed as failure:
                self._give_up(failure)
                return
            self._hosting.let_go_of_all()
            epoch = self.image.brokers[self.node_id].epoch
            directories.close(clean=True, high_watermarks=self._hosting.high_watermarks(), broker_epoch=epoch)

    @contextmanager
    def _blocking(self) -> Iterator[None]:
        """Meanwhile no task runs, and what the disk takes long for may be interrupted by an exception."""
        self.is_blocked = True
        try:
            yield
        finally:
            self.is_blocked = False

    def _directory_failed(self, directory: LogDirectory, failure: DiskFailure) -> None:
        """Its partitions refuse from now on, those who wait were told by their logs; the others go on.

        Nothing of it stays open, nor locked, so that the disk can be unmounted, and looked at.

        Without the metadata log's directory, or any for records, there is no broker: it answers what it owes and stops,
        as Kafka does.
        """
        log.error("the log directory is offline", extra={"path": failure.path, "reason": failure.reason})
        if directory is self.directories.metadata or not self.directories.online:
            self._failure = failure
            self.stop()
            return
        self._hosting.forsake(directory)
        # Not inside whatever met the failure: neither files nor the image may change under its hands.
        self.clock.soon(lambda: self._let_go(directory))

    def _let_go(self, directory: LogDirectory) -> None:
        # What is written, synced or sent right now closes its file by itself. Kafka's LogManager unlocks here, too.
        directory.close(clean=False)
        lost = directory.directory_id
        self.metadata.propose_in_turns(lambda image: lose(image, self.node_id, lost), lambda take: take())

    def _placed(self, placed: Sequence[Placed]) -> None:
        """Replicas found their directories: have the metadata say so."""

        def report() -> None:
            self.metadata.propose(lambda image: assign(image, self.node_id, placed), _nobody_waits)

        self.clock.soon(report)

    def _lost(self, lost: Sequence[LostEnd]) -> None:
        """Logs have lost their ends: lead their partitions in new epochs."""

        def renewed() -> None:
            self.metadata.propose(lambda image: renew(image, self.node_id, lost), _nobody_waits)

        self.clock.soon(renewed)

    def _fail(self, failure: DiskFailure) -> None:
        """The metadata log is broken: nobody can know what is committed any more."""
        log.error("the metadata log failed: stopping", extra={"path": failure.path, "reason": failure.reason})
        self._failure = failure
        self._scope.cancel()

    # ---- failures of ours where no request is to blame

    def _follow_work(self, action: Callable[[], None]) -> None:
        """Run what follows the work of a thread; after a failure of ours nothing does."""
        if not isinstance(self._failure, JobFailed):
            ended = outcome.capture(action)
            if isinstance(ended, outcome.Error):
                self._give_up(_job_failed("what follows the work of a thread", ended.error))

    async def _keep_time(self, clock: RunningClock) -> None:
        """Fire timers."""
        ended = await outcome.acapture(clock.run)
        if isinstance(ended, outcome.Error) and not isinstance(ended.error, trio.Cancelled):
            self._give_up(_job_failed("what a timer was set for", ended.error))
        else:
            ended.unwrap()

    def _give_up(self, failure: JobFailed) -> None:
        """End as if killed: what was left half done cannot be relied on, recovery can."""
        cause = failure.__cause__
        error = f"{type(cause).__name__}: {cause}"
        log.critical(
            "a failure of ours: stopping as if killed", exc_info=cause, extra={"job": failure.job, "error": error}
        )
        self._failure = failure
        self._scope.cancel()

    # ---- listening

    def _bind(self, world: World) -> None:
        options = world.network.ListenOptions(
            backlog=self.config["socket.listen.backlog.size"],
            send_buffer_bytes=self.config["socket.send.buffer.bytes"],
            receive_buffer_bytes=self.config["socket.receive.buffer.bytes"],
        )
        for endpoint in self.config.listeners:
            sockets = world.network.listen(endpoint.host, endpoint.port, options)
            self._listeners += [(endpoint.name, listener) for listener in sockets]
            port: int = sockets[0].getsockname()[1]
            self._ports[endpoint.name] = (endpoint.host or "localhost", port)

    def _unbind(self) -> None:
        for _, listener in self._listeners:
            listener.close()

    def _connections(self, world: World) -> Connections:
        limits = Limits(
            frame_bytes_max=self.config["socket.request.max.bytes"],
            connections_max=self.config["max.connections"],
            connections_per_host_max=self.config["max.connections.per.ip"],
            connections_of_hosts=self.config.connections_per_ip,
            idle_ms=self.config["connections.max.idle.ms"],
        )
        return Connections(self._gate, self.clock, world.network, limits)

    def _voter_endpoints(self) -> list[VoterEndpoint] | None:
        """Where this node says that its controller is; None where the configuration names the voters."""
        if self.config["controller.quorum.voters"]:
            return None
        return [VoterEndpoint(each.name, each.host, each.port) for each in controllers_of(self.config)]

    def _registration(self, directory_ids: Sequence[bytes], bootstrap: Sequence[Any]) -> Registration:
        endpoints = [
            Endpoint(
                endpoint.name,
                *self.config.advertised.get(endpoint.name, self._ports[endpoint.name]),
                SECURITY_PROTOCOLS[endpoint.protocol],
            )
            for endpoint in self.config.listeners
        ]
        return Registration(
            self.node_id,
            self.entropy.uuid(),
            endpoints,
            directory_ids,
            self.config["broker.rack"],
            bootstrap,
            self.config["min.insync.replicas"],
            self._left_whole(),
        )

    def _left_whole(self) -> dict[bytes, set[TopicPartition]]:
        registered = self.image.brokers.get(self.node_id)
        return self.directories.left_whole(registered.epoch) if registered is not None else {}

    # ---- what handlers see (handlers.node.Node)

    @property
    def image(self) -> MetadataImage:
        """The committed image."""
        return self.metadata.image

    def topic_settings(self, topic: str) -> LogSettings:
        """See handlers.node.Node."""
        return self._hosting.settings(self.image, topic)

    def advertised(self, ctx: RequestContext, node_id: int) -> tuple[str, int]:
        """Ourselves: as configured, else the address that the client dialled. Others: as they registered."""
        if node_id == self.node_id:
            return self.config.advertised.get(ctx.listener_name) or (ctx.local_host, ctx.local_port)
        endpoint = self.image.brokers[node_id].endpoint(ctx.listener_name)
        return (endpoint.host, endpoint.port) if endpoint else ("", -1)

    def api_ranges(self) -> list[tuple[int, int, int]]:
        """See handlers.node.Node."""
        return self._gate.api_ranges

    def supported_features(self) -> dict[str, tuple[int, int]]:
        """See handlers.node.Node."""
        return {METADATA_VERSION: (METADATA_VERSION_LOWEST, METADATA_VERSION_LATEST)}

    def _finish(self, delta: MetadataDelta, tell: Callable[[], None]) -> None:
        """A published commit that deletes topics: logs and offsets go in turns, then the proposer is told."""
        if delta.deleted_topics:
            self._hosting.when_let_go(lambda: self.groups.when_removed(tell))
        else:
            tell()

    def _published(self, delta: MetadataDelta, image: MetadataImage) -> None:
        """A commit: partitions first, then the coordinators that live on them; the proposer is told after this."""
        self._hosting.follow(delta, image)
        self.groups.follow_metadata([DeletedTopic(topic.name, topic.topic_id) for topic in delta.deleted_topics])


def _job_failed(job: str, error: BaseException) -> JobFailed:
    return error if isinstance(error, JobFailed) else JobFailed(job, error)


def _nobody_waits(response: object) -> None:
    """What is told to nobody."""
