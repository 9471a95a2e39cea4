"""The Raft of the metadata log as pure steps: an event in, effects out. No disk, no clock, no network."""
