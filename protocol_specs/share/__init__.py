"""Records of `__share_group_state`: key = int16 type and a `...Key` message; value = int16 version and a `...Value`.

A share-partition's state is its last snapshot with the updates since; the topic isn't compacted, but cut before the
oldest snapshot still needed.
"""
