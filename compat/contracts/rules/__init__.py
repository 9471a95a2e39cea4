"""The contracts, one module per part of the protocol."""
