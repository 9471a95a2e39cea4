"""RemoveAccessControlEntryRecord: an ACL is gone (KIP-801)."""

from protocol_specs.grammar import Message, Uuid

RemoveAccessControlEntryRecord = Message("RemoveAccessControlEntryRecord", key=19, versions="0", flexible="0+")(
    "id" / Uuid,  # the ACL's uuid
)
