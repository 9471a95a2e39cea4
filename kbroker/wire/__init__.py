"""Bytes to messages and back, without I/O: the codec, its two engines, frame splitting."""
