"""Driver for kcat: every command is one run of the program, a group member is a run that lasts.

kcat's `-f` format prints each record as `partition offset timestamp key-length value-length`, a newline, then the
bytes, so that any value comes back whole; its headers are text (`name=value,...`), which the scenarios keep plain.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import threading
import time

from driver import Driver, TooSlowError, decoded, record_out, serve

RECORD_FORMAT = "%p %o %T %K %S\\n%k%s%h\\n"
REASSIGNED = re.compile(r"% Group \S+ rebalanced \(memberid [^)]*\): (assigned|revoked): ?(.*)")
NO_ADMIN = "kcat has no admin commands"
NO_COMMIT = "kcat commits only what it has consumed"
#: librdkafka up to 2.11.0 leaves gzip, snappy and lz4 out, silently, unless Produce version 0 is advertised.
OLD_LIBRDKAFKA = (2, 11, 0)


class KcatError(Exception):
    """kcat ended with a complaint; the message is its last line."""


class Kcat(Driver):
    """Runs kcat; a named producer is a fresh run each time, since a run ends with its input."""

    errors = (KcatError, subprocess.TimeoutExpired)

    def hello(self, bootstrap):
        """Take the address; say who answers."""
        self.bootstrap = bootstrap
        text = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"Version (\S+)", text).group(1)
        library = re.search(r"librdkafka (\d+\.\d+\.\d+)", text).group(1)
        cannot = {
            "admin": NO_ADMIN,
            "admin-offsets": NO_ADMIN,
            "commit": NO_COMMIT,
            "timestamp": "kcat can't set timestamps",
            "any-byte": "kcat tells keys and records apart by bytes of their own",
            "null-beside-empty": "kcat sends the empty keys and values of a run all as null or all as empty",
        }
        wants = {}
        if tuple(map(int, library.split("."))) <= OLD_LIBRDKAFKA:
            reason = f"librdkafka {library} compresses only where Produce 0 is advertised"
            wants = {f"codec-{codec}": [0, 0, reason] for codec in ("gzip", "snappy", "lz4")}
        return {"version": version, "runtime": f"librdkafka {library}", "cannot": cannot, "wants": wants}

    def list_topics(self):
        """The names of all topics."""
        return {"topics": re.findall(r'topic "([^"]*)"', self._run("-L").decode())}

    def produce(self, topic, records, codec, acks, idempotent, producer=None, pace_ms=0):
        """Send records; those that share partition and headers go through one run, in order. Offsets aren't told."""
        del producer
        options = ["-z", codec, "-X", f"acks={acks}", "-X", f"enable.idempotence={str(idempotent).lower()}"]
        options += ["-X", "linger.ms=5", "-X", "message.max.bytes=4194304", "-X", "reconnect.backoff.max.ms=500"]
        options += [] if idempotent else ["-X", "max.in.flight=1"]
        for shared, run in runs_of(records):
            self._produce_run(["-P", "-E", "-t", topic, *options, *shared], run, pace_ms)
        return {"offsets": None}

    def close_producer(self, producer):
        """Nothing is kept."""
        del producer
        return {}

    def consume(self, topic, partition, start, count):
        """Read `count` records from the beginning, an offset or a time."""
        where = start if start == "beginning" else str(start.get("offset", f"s@{start.get('time')}"))
        arguments = ["-C", "-q", "-t", topic, "-p", str(partition), "-o", where, "-c", str(count), "-f", RECORD_FORMAT]
        return {"records": parsed(self._run(*arguments))}

    def watermarks(self, topic, partition):
        """The first offset and the end of a partition."""
        first, end = (self._run("-Q", "-t", f"{topic}:{partition}:{time}") for time in (-2, -1))
        return {"beginning": offset_in(first), "end": offset_in(end)}

    def group_read(self, group, topic, count):
        """Join, read exactly `count` records, leave; the end of a run commits what it consumed."""
        arguments = [*self._group_options(), "-q", "-c", str(count), "-f", RECORD_FORMAT]
        return {"records": parsed(self._run(*arguments, "-G", group, topic))}

    def member_start(self, member, group, topic):
        """Let a new member join: a run that lasts."""
        command = ["kcat", "-b", self.bootstrap, *self._group_options(), "-u", "-f", RECORD_FORMAT, "-G", group, topic]
        self.members[member] = KcatMember(command)
        return {}

    def _group_options(self):
        options = {"auto.offset.reset": "earliest", "session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
        options |= {"auto.commit.interval.ms": 500, "topic.metadata.refresh.interval.ms": 2000}
        return [word for key, value in options.items() for word in ("-X", f"{key}={value}")]

    def _produce_run(self, arguments, records, pace_ms):
        process = subprocess.Popen(
            ["kcat", "-b", self.bootstrap, *arguments, "-D", "\\x1e", "-K", "\\x1f"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            for record in records:
                process.stdin.write((decoded(record["key"]) or b"") + b"\x1f" + (decoded(record["value"]) or b""))
                process.stdin.write(b"\x1e")
                process.stdin.flush()
                time.sleep(pace_ms / 1000)
            _, complaint = process.communicate(timeout=self.left_s())
        finally:
            process.kill()
        if process.returncode != 0:
            raise KcatError(last_line(complaint))

    def _run(self, *arguments):
        command = ["kcat", "-b", self.bootstrap, *arguments]
        nothing, wait_s = subprocess.DEVNULL, self.left_s()
        done = subprocess.run(command, stdin=nothing, capture_output=True, timeout=wait_s, check=False)
        if done.returncode != 0:
            raise KcatError(last_line(done.stderr))
        return done.stdout


class KcatMember:
    """A run of `kcat -G`, its records and what it says of its assignment."""

    def __init__(self, command):
        self._lock = threading.Lock()
        self._assignment = []
        self._records = []
        self._complaint = None
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for read in (self._read_records, self._read_remarks):
            threading.Thread(target=read, daemon=True).start()

    def seen(self):
        """A snapshot, and the records since the last one."""
        error = self._complaint if self._process.poll() else None
        with self._lock:
            records, self._records = self._records, []
            return {"assignment": self._assignment, "records": records, "error": error}

    def close(self, timeout_s):
        """Ask the run to end, which commits and leaves the group."""
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as late:
            self._process.kill()
            raise TooSlowError("kcat didn't leave its group") from late
        return self.seen()

    def _read_records(self):
        while (record := read_record(self._process.stdout)) is not None:
            with self._lock:
                self._records.append(record)

    def _read_remarks(self):
        for line in self._process.stderr:
            text = line.decode(errors="replace").strip()
            found = REASSIGNED.match(text)
            if found is None:
                self._complaint = text
                continue
            owned = [int(number) for number in re.findall(r"\[(\d+)\]", found.group(2))]
            with self._lock:
                self._assignment = sorted(owned) if found.group(1) == "assigned" else []


def runs_of(records):
    """Consecutive records that one kcat run can send: the same partition, headers and way to say null."""
    runs = []
    for record in records:
        shared = ["-p", str(record["partition"])] if record["partition"] is not None else []
        for name, data in record["headers"]:
            shared += ["-H", name if data is None else f"{name}={decoded(data).decode()}"]
        # With -Z an empty key or value is sent as null, without it as empty bytes.
        if record["key"] is None or record["value"] is None:
            shared.append("-Z")
        if runs and runs[-1][0] == shared:
            runs[-1][1].append(record)
        else:
            runs.append((shared, [record]))
    return runs


def read_record(stream):
    """The next record in RECORD_FORMAT; None at the end."""
    head = stream.readline().split()
    if len(head) != 5:
        return None
    partition, offset, timestamp, key_length, value_length = map(int, head)
    key = stream.read(key_length) if key_length >= 0 else None
    value = stream.read(value_length) if value_length >= 0 else None
    text = stream.readline().decode().rstrip("\n")
    headers = [header_of(part) for part in text.split(",")] if text else []
    return record_out(partition, offset, timestamp, key, value, headers)


def header_of(text):
    """`name=value` as a pair; kcat prints a null value as NULL."""
    name, _, data = text.partition("=")
    return name, None if data == "NULL" else data.encode()


def parsed(output):
    """All records of a finished run."""
    stream, records = io.BytesIO(output), []
    while (record := read_record(stream)) is not None:
        records.append(record)
    return records


def offset_in(output):
    """The number in `topic [0] offset 7`."""
    return int(re.search(rb"offset (-?\d+)", output).group(1))


def last_line(complaint):
    """The last thing kcat said."""
    lines = complaint.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "kcat failed without a word"


if __name__ == "__main__":
    assert shutil.which("kcat"), "kcat is not on PATH"
    serve(Kcat())
