"""Group coordination as a pure core: (state, event, now) -> effects. Knows neither logs nor connections.

One `GroupShard` (shard.py) holds the groups and committed offsets of one `__consumer_offsets` partition. What happens
to it is a call with plain values (events.py), what it wants done comes back as effects (effects.py), and what it
writes are Kafka's own records (records.py), from which the same shard is rebuilt.

    Empty -> PreparingRebalance -> CompletingRebalance -> Stable -> PreparingRebalance -> ... ; each of them -> Dead
"""
