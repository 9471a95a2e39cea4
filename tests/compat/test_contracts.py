"""Every contract of the wire, on a broker in this process; and the machinery that checks them."""

from __future__ import annotations

import pytest

from compat.contracts.bench import Bench, made
from compat.contracts.engine import Broken, Contract, contract, expect, load_contracts, run_contract, run_contracts
from compat.contracts.report import as_json, as_text
from compat.contracts.transcript import Exchange, Transcriber, differences
from kbroker.record.compression import Codec, compress
from kbroker.record.legacy import write_message
from kbroker.testing import run
from protocol_specs import api

JOBS = 6
SERVED = (0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 19, 20, 21, 22, 23, 32, 35, 60)


@pytest.fixture(scope="module")
def bootstrap():
    with run(config={"group.initial.rebalance.delay.ms": 0}) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="module")
def outcomes(bootstrap):
    return run_contracts(load_contracts(), bootstrap, JOBS)


def test_every_contract_is_kept(outcomes):
    red = [f"{o.contract.id} {o.contract.statement}: {o.reason}" for o in outcomes if o.status != "pass"]
    assert red == []


def test_every_served_version_of_every_api_was_answered(bootstrap, outcomes):
    answered = {(e.api, e.version) for outcome in outcomes for e in outcome.exchanges if e.answer != "closed"}
    bench = Bench(bootstrap, "all")
    ranges = bench.advertised()
    bench.close()
    assert sorted(ranges) == sorted(SERVED)
    served = {(api.api_name(key), v) for key, (low, high) in ranges.items() for v in range(low, high + 1)}
    assert served - answered == set()


def test_directories_on_a_disk_keep_the_contracts_and_tell_their_volumes_size(tmp_path):
    """The broker of the other tests has no disk, and may say that it knows no size."""
    asking = [one for one in load_contracts() if one.id.startswith("LOGDIRS-")]
    with run(data_dir=str(tmp_path / "data")) as broker:
        kept = run_contracts(asking, broker.bootstrap, JOBS)
    assert [f"{o.contract.id}: {o.reason}" for o in kept if o.status != "pass"] == []
    (volumes,) = (o for o in kept if o.contract.id == "LOGDIRS-008")
    told = [
        (e.version, r["total_bytes"] > r["usable_bytes"] > 0)
        for e in volumes.exchanges[3:]
        for r in e.answer["results"]
    ]
    assert told == [(4, True), (5, True)]


def test_contracts_have_ids_of_their_own_and_say_where_they_come_from():
    contracts = load_contracts()
    assert len({one.id for one in contracts}) == len(contracts) > 480
    assert all(one.statement and one.source for one in contracts)


def _contract(check, *, deliberate=None) -> Contract:
    (one,) = contract("MADE-001 made up", "nowhere", deliberate=deliberate)(check).__dict__["contracts"]
    return one


@pytest.mark.parametrize(("deliberate", "status"), [(None, "fail"), ("on purpose", "differs")])
def test_a_broken_contract_is_red_and_says_why(bootstrap, deliberate, status):
    def check(bench):
        expect("an error", bench.ask(18, 0).error_code, 99)

    outcome = run_contract(_contract(check, deliberate=deliberate), bootstrap)
    assert (outcome.status, outcome.reason) == (status, "an error: 0, wanted 99")
    assert [(e.api, e.version) for e in outcome.exchanges] == [("ApiVersions", 0)]
    text = as_text({bootstrap: [outcome]})
    assert "MADE-001" in text
    assert "an error: 0, wanted 99" in text
    assert as_json({bootstrap: [outcome]})["brokers"][bootstrap][0]["status"] == status


def test_a_closed_connection_is_red(bootstrap):
    def check(bench):
        line = bench.line()
        line.send_bytes(bytes(4))
        bench.answer(18, 0, line, 1)

    assert "closed the connection" in run_contract(_contract(check), bootstrap).reason


def test_an_answer_of_another_shape_is_red(bootstrap):
    outcome = run_contract(_contract(lambda bench: bench.ask(3, 9, topics=[]).topics[7]), bootstrap)
    assert outcome.status == "fail"


def test_equal_things_are_equal():
    expect("one", 1, 1)
    with pytest.raises(Broken, match="one: 1, wanted 2"):
        expect("one", 1, 2)


def test_a_field_that_does_not_exist_is_an_error():
    request, _ = api.messages(3)
    with pytest.raises(AssertionError, match="MetadataRequest has no topic"):
        made(request, {"topic": []})


def test_differences_name_the_field_and_both_values():
    ours = [Exchange("Fetch", 4, {"responses": [{"topic": "t", "error_code": 0}]})]
    theirs = [Exchange("Fetch", 4, {"responses": [{"topic": "t", "error_code": 6}]})]
    assert differences(ours, ours) == []
    assert differences(ours, theirs) == ["1. Fetch v4 responses[0].error_code: 0, the other 6"]


def test_a_message_set_is_noted_by_its_entries_and_a_wrapper_without_its_size():
    """Fetch 0 to 3 left no trace, because only record batches could be told."""
    plain, packed, out = bytearray(), bytearray(), bytearray()
    write_message(plain, 1, Codec.NONE, 4, 1000, b"k", b"v")
    for offset in range(2):
        write_message(packed, 1, Codec.NONE, offset, 1000, None, b"v")
    write_message(out, 1, Codec.GZIP, 6, 1000, None, compress(Codec.GZIP, bytes(packed)))
    _, response = api.messages(1)
    topics = [{"topic": "t", "partitions": [{"partition_index": 0, "records": bytes(plain + out)}]}]
    noted = Transcriber("run").plain(response, 2, made(response, {"responses": topics}))
    assert noted["responses"][0]["partitions"][0]["records"] == [
        {"offset": 4, "magic": 1, "attributes": 0, "messages": 1, "size": len(plain)},
        {"offset": 6, "magic": 1, "attributes": 1, "messages": 2},
    ]


def test_free_bytes_of_a_disk_are_no_difference():
    one, other = ([Exchange("DescribeLogDirs", 4, {"usable_bytes": n, "total_bytes": 9})] for n in (1, 2))
    assert differences(one, other) == []


def test_lists_of_different_lengths_are_compared_by_name():
    one, other = [{"name": "a", "value": 1}], [{"name": "a", "value": 2}, {"name": "b", "value": 3}]
    found = differences([Exchange("X", 0, {"list": one})], [Exchange("X", 0, {"list": other})])
    assert found[0] == "1. X v0 list.a.value: 1, the other 2"
    assert found[1].startswith("1. X v0 list.b: None")
