"""DescribeAcls: the access control entries that match a filter (KIP-140).

v1 adds pattern types and answers before it throttles (KIP-290); v2 is flexible; v3 adds the user resource (KIP-373).
v0 is gone since Kafka 4.0.
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

DescribeAclsRequest = Message("DescribeAclsRequest", key=29, versions="0-3", flexible="2+")(
    "resource_type_filter" / Int8,                     # kind of resource, 1 for any
    "resource_name_filter" / Nullable(String),         # the resource's name, null for any
    "pattern_type_filter" / Int8(since=1, default=3),  # 1 any, 2 whatever matches the name, 3 literal, 4 prefixed
    "principal_filter" / Nullable(String),             # the principal, null for any
    "host_filter" / Nullable(String),                  # the host, null for any
    "operation" / Int8,                                # the operation, 1 for any
    "permission_type" / Int8,                          # 1 any, 2 deny, 3 allow
)

DescribeAclsResponse = Message("DescribeAclsResponse", key=29, versions="0-3", flexible="2+")(
    "throttle_time_ms" / DurationMs,                     # ms the client is asked to wait: its quota was exceeded
    "error_code" / ErrorCode,                            # 0, or why this was refused (errors.py)
    "error_message" / Nullable(ErrorMessage),            # the reason in words, null when there is none to add
    "resources" / Array(Struct("DescribeAclsResource")(  # matching ACLs by resource
        "resource_type" / Int8,                     # what kind of resource
        "resource_name" / String,                   # the resource's name
        "pattern_type" / Int8(since=1, default=3),  # 3 literal, 4 prefixed (KIP-290)
        "acls" / Array(Struct("AclDescription")(    # the ACLs of this resource
            "principal" / String,      # "User:name", or "User:*"
            "host" / HostName,         # from which address, "*" for any
            "operation" / Int8,        # what is done: 2 all, 3 read, 4 write, 5 create, ... (AclOperation)
            "permission_type" / Int8,  # 2 deny, 3 allow
        )),
    )),
)
