"""DescribeConfigs through its handler."""

import pytest
from one_broker import OneBroker

from kbroker.handlers.k32_describe_configs import describe_configs
from protocol_specs.api.k32_describe_configs import DescribeConfigsRequest, DescribeConfigsResponse


def test_versions_of_kafka_4_are_served() -> None:
    handler = describe_configs.handler
    assert (handler.key, handler.lowest, handler.highest) == (32, 1, 4)


@pytest.mark.parametrize("version", range(1, 5))
def test_every_resource_has_its_result_in_every_version(version: int) -> None:
    kinds = [(4, "1"), (2, "nothing"), (4, "2")]
    resources = [
        DescribeConfigsRequest.DescribeConfigsResource(
            resource_type=kind, resource_name=name, configuration_keys=["num.partitions"]
        )
        for kind, name in kinds
    ]
    response = OneBroker(num_partitions=4).ask(describe_configs, DescribeConfigsRequest(resources=resources), version)
    found = DescribeConfigsResponse.parse_version(version, DescribeConfigsResponse.build_version(version, response))
    assert [result.error_code for result in found.results] == [0, 3, 42]
    (entry,) = found.results[0].configs
    assert (entry.name, entry.value, entry.config_source) == ("num.partitions", "4", 4)
