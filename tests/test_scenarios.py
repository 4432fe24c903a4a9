"""Every story under tests/scenarios comes out as it says; some of them through Kafka and a worker, too."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.domain.policy import Policy
from streams.kafka.broker import EmbeddedBroker
from streams.records.topics import Topic
from tests.conftest import FEW_PARTITIONS
from tests.scenarios.play import play
from tests.scenarios.routes import KafkaRoute, StagesRoute
from tests.scenarios.script import script_of
from tests.scenarios.story import StoryError, parse_story, read_story
from tests.scenarios.worker import Cluster

FOLDER = Path(__file__).parent / "scenarios"
STORIES = sorted(FOLDER.glob("*.txt"))

# Played through Kafka as well: together they have every kind of record, output and reference change.
THROUGH_KAFKA = [
    "a-crash-tells-nobody-again",
    "a-silent-channel-stands-for-its-outlets",
    "an-agreement-filed-later-covers-what-waits",
    "what-cannot-be-used-goes-to-the-dead-letters",
]

POLICY = Policy()


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_through_the_stages(path: Path) -> None:
    script = script_of(read_story(path))
    play(script, StagesRoute(script.reference, POLICY))


@pytest.mark.kafka
@pytest.mark.parametrize("name", THROUGH_KAFKA)
def test_a_story_through_kafka_and_a_worker(
    name: str, broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str
) -> None:
    script = script_of(read_story(FOLDER / f"{name}.txt"))
    cluster = Cluster(broker.bootstrap, prefix, topics, FEW_PARTITIONS)
    with KafkaRoute(cluster, script.reference, POLICY, broker.data_dir) as route:
        play(script, route)


OPENING = """# A story.
outlet  A         county=150102  enterprise=E1
period  P1        from=00:00     to=d2 00:00
"""

MISTAKES = [
    ("no sentence at the top", "outlet A county=150102 enterprise=E1", "s.txt:1: begin with one"),
    ("nothing is expected", OPENING + "09:30 collect outlet=A", "s.txt:4: a story without"),
    (
        "an unknown verb",
        OPENING + "09:30 colect outlet=A",
        "s.txt:4: no statement begins with colect; did you mean collect?",
    ),
    (
        "an unknown expectation",
        OPENING + "09:30 expect raise outlet=A",
        "s.txt:4: cannot expect raise; did you mean raised?",
    ),
    (
        "an unknown field",
        OPENING + "09:30 collect outlet=A regstered=5",
        "s.txt:4: collect has no regstered; did you mean registered?",
    ),
    (
        "a field is not there",
        OPENING + "09:30 collect count=5",
        "s.txt:4: collect needs outlet; write it like: collect outlet=A",
    ),
    (
        "a field twice",
        OPENING + "09:30 collect outlet=A outlet=A",
        "s.txt:4: outlet is given twice",
    ),
    ("no value", OPENING + "09:30 collect outlet=", "s.txt:4: outlet has no value"),
    (
        "no such hour",
        OPENING + "24:30 collect outlet=A",
        "s.txt:4: the time: '24:30' is no time of a day",
    ),
    (
        "no length of time",
        OPENING + "09:30 collect outlet=A after=20",
        "s.txt:4: after: '20' is no length of time; write 20m",
    ),
    (
        "no number",
        OPENING + "09:30 expect rate outlet=A rate=75%",
        "s.txt:4: rate: '75%' is no number",
    ),
    (
        "time goes back",
        OPENING + "09:30 collect outlet=A\n09:29 expect nothing",
        "s.txt:5: is earlier than the line before",
    ),
    (
        "it looks before it has happened",
        OPENING + "09:30 expect nothing\n09:30 collect outlet=A",
        "s.txt:5: comes at the time of an expect",
    ),
    (
        "a setting has no time",
        OPENING + "09:30 outlet B county=150102 enterprise=E1",
        "s.txt:4: outlet stands before the first time",
    ),
    ("what happens has one", OPENING + "collect outlet=A", "s.txt:4: collect stands after a time"),
    ("a word too many", OPENING + "09:30 void W1 W2", "s.txt:4: W2 is one word too many"),
    (
        "an unknown level",
        "# A story.\nperiod P1 from=00:00 to=12:00 level=L9",
        "s.txt:2: level: 'L9' is not known",
    ),
]

CONTRADICTIONS = [
    ("no such outlet", "09:30 collect outlet=B", "s.txt:4: there is no outlet B; there are A"),
    (
        "more registered than collected",
        "09:30 collect outlet=A count=5 registered=6",
        "s.txt:4: of 5 parcels no 6",
    ),
    (
        "not so many to make up",
        "09:30 collect outlet=A count=5\n12:00 late outlet=A count=6",
        "s.txt:5: A has only 5 unregistered",
    ),
    (
        "not late",
        "09:30 collect outlet=A count=5\n11:30 late outlet=A count=5",
        "s.txt:5: some of its parcels were collected less",
    ),
    ("a parcel nobody has named", "09:30 void W1", "s.txt:4: no parcel W1"),
    (
        "a period that is not there",
        "09:30 remove period=P2",
        "s.txt:4: there is no period P2; there are P1",
    ),
    ("a move to where it is", "09:30 move outlet=A county=150102", "s.txt:4: changes nothing"),
]


@pytest.mark.parametrize(
    ("text", "expected"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_told_with_its_place(text: str, expected: str) -> None:
    with pytest.raises(StoryError) as raised:
        parse_story("s.txt", text)
    assert str(raised.value).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [c[1:] for c in CONTRADICTIONS], ids=[c[0] for c in CONTRADICTIONS]
)
def test_statements_that_contradict_one_another_are_told_too(text: str, expected: str) -> None:
    story = parse_story("s.txt", f"{OPENING}{text}\n23:00 expect nothing")
    with pytest.raises(StoryError) as raised:
        script_of(story)
    assert str(raised.value).startswith(expected)


FAILING = [
    ("an alert that nobody expects", "expect nothing", "by then there came, unexpected: raised"),
    (
        "an alert that does not come",
        "expect raised outlet=B",
        "there was none; there was raised kind=RATE_BELOW_TARGET outlet=A at=11:35",
    ),
    ("another figure", "expect raised outlet=A observed=0.74", "observed is 0.75"),
    ("another number of missing parcels", "expect missing 14", "15 are missing"),
    ("another rate", "expect rate outlet=A rate=0.76", "rate is 0.75"),
    ("no such day", "expect day outlet=A date=d2 eligible=0", "there is no such record"),
    ("no dead letter", "expect dead_letter code=schema", "came 0 times"),
]


@pytest.mark.parametrize(("expect", "told"), [f[1:] for f in FAILING], ids=[f[0] for f in FAILING])
def test_a_story_fails_where_it_is_not_so(expect: str, told: str) -> None:
    text = (
        f"{OPENING}target period=P1 granularity=OUTLET rate=0.90\n"
        f"09:30 collect outlet=A count=60 registered=45\n11:35 {expect}"
    )
    script = script_of(parse_story("s.txt", text))
    with pytest.raises(AssertionError) as raised:
        play(script, StagesRoute(script.reference, POLICY))
    assert told in str(raised.value)
