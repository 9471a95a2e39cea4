"""DescribeConfigs: what is configured for topics, brokers, groups and client metrics, and why.

v1 names sources and synonyms (KIP-226); v3 types and documentation (KIP-569); v4 is flexible.
"""

from __future__ import annotations

from typing import Any

from kbroker.controller.describe_configs import describe_configs as describe
from kbroker.handlers.answer import Long
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from kbroker.turns import Turns
from protocol_specs.api.k32_describe_configs import DescribeConfigsRequest, DescribeConfigsResponse


@handles(DescribeConfigsRequest, DescribeConfigsResponse, serves="1-4")
def describe_configs(ctx: RequestContext, request: Any) -> Turns[Long]:
    """Describe every resource from one image."""
    return Long((yield from describe(ctx.node.image, request, ctx.node.config)))
