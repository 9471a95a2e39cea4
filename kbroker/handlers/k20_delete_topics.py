"""DeleteTopics: remove topics with all they hold.

v3 may say TOPIC_DELETION_DISABLED, before it is INVALID_REQUEST; v4 is flexible; v5 carries a message per topic;
v6 names topics by name or by id (KIP-516).
"""

from __future__ import annotations

from typing import Any

from kbroker.controller.topics import UnwantedTopic
from kbroker.controller.topics import delete_topics as decide
from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k20_delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from protocol_specs.errors import ErrorCode


@handles(DeleteTopicsRequest, DeleteTopicsResponse, serves="1-6", is_carried_out=True)
def delete_topics(ctx: RequestContext, request: Any) -> Answer:
    """Decide on every topic at once; answered when the removals are committed."""
    node, version = ctx.node, ctx.api_version
    unwanted = _unwanted(request, version)
    answer = Pending()
    node.metadata.propose(
        lambda image: decide(image, unwanted, node.config),
        lambda response: answer.settle(_for_version(response, version)),
        failed=answer.settle_with,
    )
    return answer


def _unwanted(request: Any, version: int) -> list[UnwantedTopic]:
    if version < 6:
        return [UnwantedTopic(name) for name in request.topic_names]
    return [UnwantedTopic(topic.name, topic.topic_id) for topic in request.topics]


def _for_version(response: Any, version: int) -> Any:
    if version < 3:
        for result in response.responses:
            if result.error_code == ErrorCode.TOPIC_DELETION_DISABLED:
                result.error_code = ErrorCode.INVALID_REQUEST
    return response
