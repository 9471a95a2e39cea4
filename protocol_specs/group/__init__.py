"""Records of `__consumer_offsets`, one module per type, and the blobs of the consumer protocol.

A record's key: int16 type, then the `...Key` message; its value: int16 version, then the `...Value` message. A null
value deletes what the key names. `key` of both messages is the type: 0 to 2 classic groups and offsets, 3 to 8 and 16
consumer groups (KIP-848), 10 to 15 share groups (KIP-932), 17 and 19 to 23 streams groups (KIP-1071). The topic is
compacted; all records of a group lie in one partition.
"""
