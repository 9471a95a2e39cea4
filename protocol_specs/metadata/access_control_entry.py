"""AccessControlEntryRecord: an ACL exists (KIP-801). Numbers: see api/k30_create_acls.py."""

from protocol_specs.grammar import HostName, Int8, Message, String, Uuid

AccessControlEntryRecord = Message("AccessControlEntryRecord", key=18, versions="0", flexible="0+")(
    "id" / Uuid,               # the ACL's uuid, for its removal
    "resource_type" / Int8,    # what kind of resource, as in CreateAcls
    "resource_name" / String,  # the resource's name, "*" for any
    "pattern_type" / Int8,     # 3 literal, 4 prefixed (KIP-290)
    "principal" / String,      # "User:name", or "User:*"
    "host" / HostName,         # from which address, "*" for any
    "operation" / Int8,        # what is done: 2 all, 3 read, 4 write, 5 create, ... (AclOperation)
    "permission_type" / Int8,  # 2 deny, 3 allow
)
