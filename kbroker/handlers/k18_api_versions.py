"""ApiVersions: what this broker serves, read off the handlers.

Versions: 3 names the client's software and is flexible (KIP-511), with features (KIP-584); 4 may carry a feature whose
lowest level is 0. The one request that is answered in a version that it was not asked in: one that we do not know gets
UNSUPPORTED_VERSION in version 0 (the server sees to that). Kafka: ApiVersionManager, RequestContext.
"""

from __future__ import annotations

import re
from typing import Any, Final

from kbroker.handlers.answer import Answer
from kbroker.handlers.context import RequestContext
from kbroker.handlers.registry import handles
from protocol_specs.api.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse
from protocol_specs.errors import ErrorCode

ApiRange = ApiVersionsResponse.ApiVersion
SupportedFeature = ApiVersionsResponse.SupportedFeatureKey
FinalizedFeature = ApiVersionsResponse.FinalizedFeatureKey

SOFTWARE_SINCE: Final = 3
LOWEST_LEVEL_ZERO_SINCE: Final = 4
SOFTWARE_NAME: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


@handles(ApiVersionsRequest, ApiVersionsResponse, serves="0-4")
def api_versions(ctx: RequestContext, request: Any) -> Answer:
    """The ranges of all handlers and the cluster's features."""
    if ctx.api_version >= SOFTWARE_SINCE and not (
        SOFTWARE_NAME.fullmatch(request.client_software_name)
        and SOFTWARE_NAME.fullmatch(request.client_software_version)
    ):
        ctx.note(f"client software {request.client_software_name!r} {request.client_software_version!r}")
        return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST)
    image, supported = ctx.node.image, ctx.node.supported_features()
    return ApiVersionsResponse(
        api_keys=_ranges(ctx.node.api_ranges()),
        supported_features=[
            SupportedFeature(name=name, min_version=lowest, max_version=highest)
            for name, (lowest, highest) in supported.items()
            if lowest > 0 or ctx.api_version >= LOWEST_LEVEL_ZERO_SINCE
        ],
        finalized_features_epoch=image.offset,
        finalized_features=[
            FinalizedFeature(name=name, max_version_level=level, min_version_level=level)
            for name, level in image.features.items()
            if name in supported  # a level of what is not served would invite clients to it
        ],
    )


def unsupported_version(api_ranges: list[tuple[int, int, int]]) -> Any:
    """The answer, to be sent in version 0, for an ApiVersions request of a version that is not served (KIP-511)."""
    own = [served for served in api_ranges if served[0] == ApiVersionsRequest.key]
    return ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=_ranges(own))


def _ranges(served: list[tuple[int, int, int]]) -> list[Any]:
    return [ApiRange(api_key=key, min_version=lowest, max_version=highest) for key, lowest, highest in served]
