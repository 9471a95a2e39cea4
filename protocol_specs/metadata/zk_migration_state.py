"""ZkMigrationStateRecord: how far the migration from ZooKeeper was (KIP-866). New clusters log 0 once."""

from protocol_specs.grammar import Int8, Message

ZkMigrationStateRecord = Message("ZkMigrationStateRecord", key=21, versions="0", flexible="0+")(
    "zk_migration_state" / Int8,  # 0 none, 1 pre-migration, 2 migration, 3 post-migration
)
