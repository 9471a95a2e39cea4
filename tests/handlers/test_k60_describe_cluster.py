"""DescribeCluster, rule by rule."""

import pytest
from one_broker import OneBroker

from kbroker.controller.decision import Decision
from kbroker.handlers.k60_describe_cluster import describe_cluster
from protocol_specs.api.k60_describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from protocol_specs.metadata.register_broker import RegisterBrokerRecord

NOT_ASKED = -(1 << 31)


def ask(node: OneBroker, version: int = 2, **fields):
    response = node.ask(describe_cluster, DescribeClusterRequest(**fields), version)
    DescribeClusterResponse.build_version(version, response)
    return response


def add(node: OneBroker, broker_id: int, listener: str, *, fenced: bool) -> None:
    endpoint = RegisterBrokerRecord.BrokerEndpoint(name=listener, host="h", port=1)
    record = RegisterBrokerRecord(broker_id=broker_id, end_points=[endpoint], fenced=fenced, rack="r")
    node.metadata.propose(lambda image: Decision([record], None), lambda response: None)


def test_every_version_is_served() -> None:
    handler = describe_cluster.handler
    assert (handler.key, handler.lowest, handler.highest) == (60, 0, 2)


@pytest.mark.parametrize("version", range(3))
def test_a_single_broker_is_found_where_the_client_can_reach_it(version: int) -> None:
    response = ask(OneBroker(), version)
    assert response.error_code == 0
    assert response.error_message is None
    assert (response.cluster_id, response.controller_id) == ("cluster-of-one", 1)
    (broker,) = response.brokers
    assert (broker.broker_id, broker.host, broker.port, broker.rack) == (1, "advertised", 9092, None)
    assert broker.is_fenced is False


@pytest.mark.parametrize(("wanted", "expected"), [(False, [1, 2]), (True, [1, 2, 3])])
def test_fenced_brokers_are_listed_only_when_asked_for(wanted: bool, expected: list[int]) -> None:
    node = OneBroker()
    add(node, 2, "PLAINTEXT", fenced=False)
    add(node, 3, "PLAINTEXT", fenced=True)
    response = ask(node, include_fenced_brokers=wanted)
    assert [broker.broker_id for broker in response.brokers] == expected
    assert [broker.is_fenced for broker in response.brokers] == [node == 3 for node in expected]


def test_a_broker_that_this_listener_does_not_reach_is_left_out() -> None:
    node = OneBroker()
    add(node, 2, "OTHER", fenced=False)
    assert [broker.broker_id for broker in ask(node).brokers] == [1]


@pytest.mark.parametrize(("endpoint_type", "error"), [(2, 114), (0, 115), (3, 115)])
def test_other_endpoints_than_brokers_are_refused(endpoint_type: int, error: int) -> None:
    response = ask(OneBroker(), endpoint_type=endpoint_type)
    assert response.error_code == error
    assert response.error_message
    assert (response.brokers, response.endpoint_type, response.cluster_id) == ([], 1, "")


def test_allowed_operations_are_told_when_asked_for() -> None:
    assert ask(OneBroker()).cluster_authorized_operations == NOT_ASKED
    operations = ask(OneBroker(), include_cluster_authorized_operations=True).cluster_authorized_operations
    assert operations == 0b1_1111_1010_0000
