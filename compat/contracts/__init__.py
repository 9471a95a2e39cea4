"""Contracts: what a Kafka broker answers on the wire, one rule each, checked on any broker over raw sockets.

    python -m compat.contracts -b HOST:PORT                          one broker
    python -m compat.contracts -b HOST:PORT --against HOST:PORT      two, their answers compared field by field

A contract has a stable id, a statement, and the source of the rule (a KIP or a class of Apache Kafka). What it expects
is written out; nothing is copied from a broker at run time. Where this project differs from Apache Kafka on purpose
the contract says so in `deliberate`: red there on another broker is reported, and is no failure.

Frames are made with the project's declarations (`protocol_specs`, `kbroker.wire.codec`), which frames written by Apache
Kafka's own serializers prove.
"""
