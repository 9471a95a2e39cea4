"""How the failure of an append to `__consumer_offsets` looks to the client that caused it.

Source: Apache Kafka, appendGroupMetadataErrorToResponseError and CoordinatorOperationExceptionHelper.
"""

from __future__ import annotations

from protocol_specs.errors import ErrorCode

_TO_CLIENT = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
}
_TOO_LARGE = frozenset(
    {ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE, ErrorCode.INVALID_FETCH_SIZE},
)


def group_append_error(error: ErrorCode) -> ErrorCode:
    """For joins and syncs. A group too large for one record can't be helped by the client: UNKNOWN_SERVER_ERROR."""
    if error in _TOO_LARGE:
        return ErrorCode.UNKNOWN_SERVER_ERROR
    return _TO_CLIENT.get(error, error)


def commit_append_error(error: ErrorCode) -> ErrorCode:
    """For offset commits.

    Too many offsets at once is INVALID_COMMIT_OFFSET_SIZE, the code made for it and what Kafka answered up to 3.9;
    4.x says UNKNOWN_SERVER_ERROR, which names a fault of ours that isn't one.
    """
    if error in _TOO_LARGE:
        return ErrorCode.INVALID_COMMIT_OFFSET_SIZE
    return _TO_CLIENT.get(error, error)
