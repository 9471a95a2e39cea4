"""CreateAcls: add access control entries (KIP-140).

v1 adds pattern types and answers before it throttles (KIP-290); v2 is flexible; v3 adds the user resource (KIP-373).
v0 is gone since Kafka 4.0. Resources: 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
Operations: 2 all, 3 read, 4 write, 5 create, 6 delete, 7 alter, 8 describe, 9 cluster action, 10 and 11 describe and
alter configs, 12 idempotent write, 13 and 14 create and describe tokens, 15 two-phase commit.
"""

from protocol_specs.grammar import (
    Array,
    DurationMs,
    ErrorCode,
    ErrorMessage,
    HostName,
    Int8,
    Message,
    Nullable,
    String,
    Struct,
)

CreateAclsRequest = Message("CreateAclsRequest", key=30, versions="0-3", flexible="2+")(
    "creations" / Array(Struct("AclCreation")(  # the ACLs to add
        "resource_type" / Int8,                              # what kind of resource
        "resource_name" / String,                            # the resource's name
        "resource_pattern_type" / Int8(since=1, default=3),  # 3 literal, 4 prefixed (KIP-290)
        "principal" / String,                                # "User:name", or "User:*"
        "host" / HostName,                                   # from which address, "*" for any
        "operation" / Int8,  # what is done: 2 all, 3 read, 4 write, 5 create, ... (AclOperation)
        "permission_type" / Int8,                            # 2 deny, 3 allow
    )),
)

CreateAclsResponse = Message("CreateAclsResponse", key=30, versions="0-3", flexible="2+")(
    "throttle_time_ms" / DurationMs,                # ms the client is asked to wait: its quota was exceeded
    "results" / Array(Struct("AclCreationResult")(  # one result per ACL, in order
        "error_code" / ErrorCode,                  # 0, or why this was refused (errors.py)
        "error_message" / Nullable(ErrorMessage),  # the reason in words, null when there is none to add
    )),
)
