"""Log compaction: of each key the newest record stays, what it replaced goes.

    cleanable   which part of a log is dirty, whether that is enough to act, which segments become one
    offset_map  key -> offset of its newest record in the dirty part, in bounded memory
    filtering   one batch -> what stays of it
    cleaning    the two walks through the files, as small steps for a worker: fill the map, write `.cleaned` segments
    swap        how cleaned segments take the place of old ones, and what a start finishes or undoes
    progress    what is remembered of one log between rounds
    rounds      one round from the first step to the last, on the state's thread between the steps

Offsets never change, nor does the order of batches; the growing segment is never touched. Batches of transactions and
control batches stay as they are, and their keys replace nobody: whose transaction was aborted shadows no record.
Source: Kafka's LogCleaner, Cleaner, LogCleanerManager, MemoryRecords.filterTo; KIP-58, KIP-354, KIP-534.
"""
