"""InitProducerId: a producer id for idempotence.

v2 is flexible; v3 lets a producer bring its id and epoch (KIP-360); v4 and v5 only add errors of transactions.
Version 6 (KIP-939) is unstable in Kafka 4.3 and not served.

Transactions are not served: a transactional id is refused at once with an error that clients take for final.
"""

from __future__ import annotations

from typing import Any

from kbroker.handlers.answer import Answer, Pending
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k22_init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from protocol_specs.errors import ErrorCode


@handles(InitProducerIdRequest, InitProducerIdResponse, serves="0-5", is_carried_out=True)
def init_producer_id(ctx: RequestContext, request: Any) -> Answer:
    """A fresh id with epoch 0 for a producer without a transactional id, also when it brings an id of its own."""
    refused = _refusal(request)
    if refused is not None:
        ctx.note(f"InitProducerId for transactional id {request.transactional_id!r}: {refused.name}")
        return InitProducerIdResponse(error_code=refused, producer_id=-1, producer_epoch=-1)
    answer = Pending()
    ctx.node.metadata.next_producer_id(
        lambda producer_id: answer.settle(InitProducerIdResponse(producer_id=producer_id, producer_epoch=0))
    )
    return answer


def _refusal(request: Any) -> ErrorCode | None:
    if (request.producer_id == -1) != (request.producer_epoch == -1):
        return ErrorCode.INVALID_REQUEST
    if request.transactional_id is None:
        return None
    if request.transactional_id == "":
        return ErrorCode.INVALID_REQUEST
    return ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
