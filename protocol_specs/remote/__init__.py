"""Records of `__remote_log_metadata`, the topic in which brokers agree on what lies in remote storage (KIP-405).

A record's value has the frame of the metadata log's: unsigned varint 1, unsigned varint type, unsigned varint version,
then the message. kbroker has no remote storage; these are here to be read.
"""
