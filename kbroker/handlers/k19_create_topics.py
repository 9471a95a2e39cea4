"""CreateTopics: make topics, or see whether they could be made.

v4 allows -1 for partitions and replication factor (KIP-464); v5 is flexible and answers with partitions, factor and
configurations (KIP-525); v7 answers with the topic's id (KIP-516).
"""

from __future__ import annotations

from typing import Any

from kbroker.controller.topics import create_topics as decide
from kbroker.handlers.answer import Answer, Long, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k19_create_topics import CreateTopicsRequest, CreateTopicsResponse


@handles(CreateTopicsRequest, CreateTopicsResponse, serves="2-7", is_carried_out=True)
def create_topics(ctx: RequestContext, request: Any) -> Answer:
    """Decide on every topic of one image; answered when the topics are committed and can be served."""
    node = ctx.node
    answer = Pending()
    node.metadata.propose_in_turns(
        lambda image: decide(image, request, node.config, node.entropy),
        lambda take: answer.settle_with(lambda: Long(take())),
    )
    return answer
