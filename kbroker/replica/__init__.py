"""A partition's replication state: who leads, who is in sync, how far everybody is, and who waits for that."""
