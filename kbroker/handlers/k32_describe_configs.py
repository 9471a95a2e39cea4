"""DescribeConfigs: what is configured for topics, brokers, groups and client metrics, and why.

v1 names sources and synonyms (KIP-226); v3 types and documentation (KIP-569); v4 is flexible.
"""

from __future__ import annotations

from typing import Any

from kbroker.controller.describe_configs import describe_configs as describe
from kbroker.handlers.answer import Answer
from kbroker.handlers.context import RequestContext
from kbroker.handlers.in_turns import in_turns
from kbroker.handlers.registry import handles
from protocol_specs.api.k32_describe_configs import DescribeConfigsRequest, DescribeConfigsResponse


@handles(DescribeConfigsRequest, DescribeConfigsResponse, serves="1-4")
def describe_configs(ctx: RequestContext, request: Any) -> Answer:
    """Describe every resource from one image."""
    return in_turns(ctx.node.clock, describe(ctx.node.image, request, ctx.node.config))
