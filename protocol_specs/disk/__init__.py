"""What Kafka keeps on disk besides records of its own topics: batches, indexes, snapshots, text files.

All numbers are big-endian. Files of a partition are named by their base offset, 20 digits: `.log` (batches back to
back), `.index`, `.timeindex`, `.txnindex`, `.snapshot`. Entries of fixed size have versions only for the grammar's
sake unless the module says otherwise.
"""
