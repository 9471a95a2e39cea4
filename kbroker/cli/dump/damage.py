"""What the readers raise when bytes are not what they should be."""

from __future__ import annotations

from kbroker.metadata.records import UnknownRecord
from kbroker.record.compression import CorruptRecords
from protocol_specs.frame import MalformedFrame, UnsupportedVersion

DAMAGE = (MalformedFrame, UnsupportedVersion, CorruptRecords, UnknownRecord)
"""Each says where and why in one line."""
