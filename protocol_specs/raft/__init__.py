"""Control records of the metadata log (types 2 to 6, see protocol_specs/disk/control_record.py) and `quorum-state`.

A control record's value is the message itself, which begins with its own version; key: int16 version 0, int16 type.
"""
