"""Levels and credentials that formatting asks for; expected values and words are those of Apache Kafka 4.3.1's tool."""

import base64

import pytest

from kbroker.controller.formatting import FormatRefused, bootstrap_records, feature_levels, parse_feature
from kbroker.controller.scram_argument import scram_record

KRAFT_0, KRAFT_1 = {"kraft.version": 0}, {"kraft.version": 1}
ALL = {
    "eligible.leader.replicas.version": 1,
    "group.version": 1,
    "share.version": 1,
    "streams.version": 1,
    "transaction.version": 2,
}
NONE = dict.fromkeys(ALL, 0)


@pytest.mark.parametrize(
    ("release", "level", "features"),
    [
        (None, 30, ALL),
        ("4.3", 30, ALL),
        ("4.3-IV0", 30, ALL),
        ("4.2-IV0", 28, ALL | {"streams.version": 0}),
        ("4.1-IV1", 27, ALL | {"streams.version": 0, "share.version": 0}),
        ("4.0", 25, NONE | {"group.version": 1, "transaction.version": 2}),
        ("4.0-IV1", 23, NONE | {"group.version": 1}),
        ("3.9-IV0", 21, NONE),
        ("3.7-IV2", 17, NONE),
    ],
)
def test_a_release_decides_the_levels(release: str | None, level: int, features: dict[str, int]) -> None:
    assert feature_levels([], release, is_dynamic=True) == {"metadata.version": level, **KRAFT_1, **features}


def test_single_levels_win_over_the_release_and_the_last_of_two_wins() -> None:
    wanted = [parse_feature(text) for text in ("metadata.version=25", "group.version=1", "group.version=0")]
    expected = {"metadata.version": 25, **KRAFT_0, **NONE, "transaction.version": 2}
    assert feature_levels(wanted, None, is_dynamic=False) == expected


@pytest.mark.parametrize(
    ("wanted", "release", "dynamic", "said"),
    [
        ("bogus.version=1", None, True, "there is no feature bogus.version; there are eligible"),
        ("transaction.version=9", None, True, "transaction.version has no level 9"),
        ("transaction.version=-1", None, True, "transaction.version has no level -1"),
        ("metadata.version=3", None, True, "metadata.version has no level 3, only 7 to 30"),
        ("metadata.version=31", None, True, "metadata.version has no level 31, only 7 to 30"),
        ("metadata.version=16", None, True, "metadata.version 3.7-IV1 is too old to be served here: 3.7-IV2 or later"),
        (
            "metadata.version=30",
            "4.0-IV0",
            True,
            "metadata.version comes from --release-version or from --feature, not",
        ),
        ("group.version=1", "9.9-IV0", True, "there is no release 9.9-IV0; there are 3"),
        ("kraft.version=0", None, True, "kraft.version 0 has no place for the voters that --standalone"),
        ("kraft.version=1", None, False, "kraft.version 1 keeps the voters in the log: give one of --standalone"),
        ("kraft.version=2", None, True, "kraft.version has no level 2"),
        (
            "eligible.leader.replicas.version=1",
            "3.9",
            True,
            "eligible.leader.replicas.version cannot have level 1 because it depends on metadata.version level 23",
        ),
    ],
)
def test_levels_that_cannot_be_are_refused(wanted: str, release: str | None, dynamic: bool, said: str) -> None:
    with pytest.raises(FormatRefused) as refused:
        feature_levels([parse_feature(wanted)], release, is_dynamic=dynamic)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [("transaction.version", "NAME=LEVEL is needed"), ("group.version=x", "x is no level")],
)
def test_a_feature_is_written_with_a_number(text: str, said: str) -> None:
    with pytest.raises(FormatRefused) as refused:
        parse_feature(text)
    assert str(refused.value) == f"--feature {text}: {said}"


def test_an_empty_log_begins_with_metadata_version_then_the_others_by_name() -> None:
    levels = feature_levels([("share.version", 0)], None, is_dynamic=True)
    records = bootstrap_records(levels, ["a user"])
    assert [(record.name, record.feature_level) for record in records[:-1]] == [
        ("metadata.version", 30),
        ("eligible.leader.replicas.version", 1),
        ("group.version", 1),
        ("streams.version", 1),
        ("transaction.version", 2),
    ]
    assert records[-1] == "a user"


def test_a_credential_is_that_of_rfc_7677() -> None:
    """The example exchange of RFC 7677 section 3: user "user", password "pencil"."""
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    record = scram_record(f'SCRAM-SHA-256=[name=user,password=pencil,salt="{salt}"]', b"")
    assert (record.name, record.mechanism, record.iterations) == ("user", 1, 4096)
    assert record.salt == base64.b64decode(salt)
    assert base64.b64encode(record.stored_key) == b"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    assert base64.b64encode(record.server_key) == b"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_a_salted_password_gives_the_same_credential_as_the_password() -> None:
    import hashlib

    salted = base64.b64encode(hashlib.pbkdf2_hmac("sha512", b"p", b"salt", 8192)).decode()
    salt = base64.b64encode(b"salt").decode()
    given = scram_record(f'SCRAM-SHA-512=[name=a,iterations=8192,salt="{salt}",saltedpassword="{salted}"]', b"")
    made = scram_record("SCRAM-SHA-512=[name=a,iterations=8192,password=p]", b"salt")
    assert given == made
    assert given.mechanism == 2


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("junk", "--add-scram junk: MECHANISM=[...] is needed"),
        ("SCRAM-SHA-257=[name=a]", "--add-scram: there is no mechanism SCRAM-SHA-257"),
        ("SCRAM-SHA-256=name=a]", "--add-scram: a [ must follow the equals sign"),
        ("SCRAM-SHA-256=[name=a", "--add-scram: the last character must be ]"),
        ("SCRAM-SHA-256=[password=p]", "--add-scram: whose credential is it? name is missing"),
        ("SCRAM-SHA-256=[name]", "--add-scram: name is not KEY=VALUE"),
        ("SCRAM-SHA-256=[name=a]", "--add-scram: password or saltedpassword is missing"),
        (
            "SCRAM-SHA-256=[name=a,saltedpassword=eA==]",
            "--add-scram: saltedpassword was made with a salt: it is missing",
        ),
        ("SCRAM-SHA-256=[name=a,password=p,salt=*]", "--add-scram: salt * is not base64"),
        ("SCRAM-SHA-256=[name=a,password=p,x=1]", "--add-scram: nothing is called x"),
        ("SCRAM-SHA-256=[name=a,password=p,iterations=x]", "--add-scram: iterations x is no number"),
        (
            "SCRAM-SHA-256=[name=a,password=p,iterations=10]",
            "--add-scram: SCRAM_SHA_256 takes 4096 iterations or more",
        ),
        (
            "SCRAM-SHA-256=[name=a,password=p,iterations=99999]",
            "--add-scram: SCRAM_SHA_256 takes 16384 iterations or fewer",
        ),
    ],
)
def test_a_credential_that_cannot_be_is_refused(argument: str, said: str) -> None:
    with pytest.raises(FormatRefused) as refused:
        scram_record(argument, b"salt")
    assert str(refused.value) == said
