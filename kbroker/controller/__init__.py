"""Decisions about the cluster: (image, request, configuration, entropy) -> records and a response. Pure."""
