"""Every mistake in a CSV file is told with its line, all at once."""

import pytest

from streams.domain.window import instant_from_text
from streams.reference.areas import Areas, shipped_areas
from streams.reference.files import parse
from streams.reference.listing import Agreements, Kind, Outlets
from streams.reference.mistakes import ReferenceFileError

OUTLETS = "outlet_id,name,brand_code,enterprise_id,county_code,duty_group\n"
AGREEMENTS = (
    "agreement_id,agreement_kind,customer_token,org_code_present,responsible_id_present,"
    "valid_from,valid_to,filed_by,recorded_at\n"
)
OUTLET = "150105-ZTO-0001,学府路营业部,ZTO,E1,150105,\n"
FILING = "A1,AGREEMENT,c1,true,true,2017-01-01,2017-12-31,HQ,2017-01-02T09:00:00+08:00\n"


@pytest.fixture(scope="module")
def areas() -> Areas:
    return shipped_areas()


def mistakes(kind: Kind, data: bytes | str, areas: Areas) -> list[tuple[int, str]]:
    data = data.encode() if isinstance(data, str) else data
    with pytest.raises(ReferenceFileError) as caught:
        parse(kind, data, file="f", areas=areas)
    return [(mistake.line, mistake.message) for mistake in caught.value.mistakes]


NO_TEXT = [
    ("an empty file", b"", 0, "the file is empty"),
    ("nothing but blanks and a byte order mark", b"\xef\xbb\xbf \n\n", 0, "the file is empty"),
    ("UTF-16", "outlet_id".encode("utf-16"), 1, "save it as UTF-8"),
    ("GBK from a spreadsheet, in its third line", b"a\nb\n\xd6\xd0\n", 3, "not UTF-8"),
    ("a binary file", b"PK\n\x00\x01", 2, "NUL"),
]


@pytest.mark.parametrize("case", NO_TEXT, ids=[case[0] for case in NO_TEXT])
@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_no_text_is_refused(
    kind: Kind, case: tuple[str, bytes, int, str], areas: Areas
) -> None:
    _, data, line, message = case
    [(found_line, found)] = mistakes(kind, data, areas)
    assert (found_line, message in found) == (line, True), found


OUTLET_CASES = [
    ("no header", OUTLET, 1, "the first line must be the header outlet_id,name,"),
    (
        "a column is missing",
        OUTLETS.replace(",county_code", "") + "1,2,3,4,5\n",
        1,
        "the header lacks county_code",
    ),
    (
        "a misspelt column",
        OUTLETS.replace("duty_group", "duty_grup") + OUTLET,
        1,
        "unknown column 'duty_grup'; did you mean duty_group?",
    ),
    ("a column twice", OUTLETS.replace("duty_group", "name"), 1, "the header has name twice"),
    ("no outlet at all", OUTLETS, 0, "no outlet is listed"),
    ("a comma too many", OUTLETS + OUTLET + "a,b,ZTO,E1,150105,,\n", 3, "7 fields where"),
    ("a quote that is left open", OUTLETS + OUTLET + 'a,"b\n', 3, "not readable as CSV"),
    ("no id", OUTLETS + ",b,ZTO,E1,150105,\n", 2, "outlet_id is empty"),
    ("an id that would break keys", OUTLETS + "a|b,n,ZTO,E1,150105,\n", 2, "without blanks and"),
    ("an id that is too long", OUTLETS + "a" * 65 + ",n,ZTO,E1,150105,\n", 2, "1 to 64"),
    ("a brand in small letters", OUTLETS + "a,n,zto,E1,150105,\n", 2, "brand_code 'zto' must be"),
    ("an enterprise unfit for a topic", OUTLETS + "a,n,ZTO,E/1,150105,\n", 2, "enterprise_id"),
    ("an unknown county", OUTLETS + "a,n,ZTO,E1,150199,\n", 2, "unknown county code '150199'"),
    ("a county of elsewhere", OUTLETS + "a,n,ZTO,E1,110101,\n", 2, "unknown county code '110101'"),
    ("no county", OUTLETS + "a,n,ZTO,E1,,\n", 2, "unknown county code ''"),
    ("a city for a county", OUTLETS + "a,n,ZTO,E1,150100,\n", 2, "it names a city or province"),
    ("an outlet twice", OUTLETS + OUTLET + "\n" + OUTLET, 4, "listed twice, first in line 2"),
    (
        "a wrong row after a name of two lines",
        OUTLETS + 'a,"n n",ZTO,E1,150105,\nb,"n\nn",ZTO,E1,150105,\nc,n,ZTO,E1,1,\n',
        5,
        "unknown county code '1'",
    ),
    (
        "a county too many for the numbers there are",
        OUTLETS + "".join(f"{n},n,ZTO,E{n},150105,\n" for n in range(257)),
        258,
        "more than 256 enterprises",
    ),
]


@pytest.mark.parametrize(
    ("case", "text", "line", "message"), OUTLET_CASES, ids=[case[0] for case in OUTLET_CASES]
)
def test_a_mistake_among_outlets(
    case: str, text: str, line: int, message: str, areas: Areas
) -> None:
    found = mistakes(Kind.OUTLETS, text, areas)
    assert any(line == at and message in told for at, told in found), found


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(areas: Areas) -> None:
    text = OUTLETS + "a,n,zto,E1,150105,\nb,n,ZTO,E1,150105,\nc,,ZTO,E1,9,\nb,n,ZTO,E1,150105,\n"
    assert [line for line, _ in mistakes(Kind.OUTLETS, text, areas)] == [2, 4, 4, 5]


def test_a_mistake_reads_as_editors_understand_it(areas: Areas) -> None:
    with pytest.raises(ReferenceFileError) as caught:
        parse(Kind.OUTLETS, (OUTLETS + ",n,ZTO,E1,150105,\n").encode(), file="o.csv", areas=areas)
    assert str(caught.value).startswith("o.csv:2: outlet_id is empty")


def filing(**changed: str) -> str:
    names = AGREEMENTS.strip().split(",")
    values = dict(zip(names, FILING.strip().split(","), strict=True)) | changed
    return AGREEMENTS + ",".join(values[name] for name in names) + "\n"


AGREEMENT_CASES = [
    ("without a first date", filing(valid_from=""), "valid_from is empty"),
    ("without a last date", filing(valid_to=""), "valid_to is empty"),
    ("ending before it starts", filing(valid_to="2016-12-31"), "2016-12-31 is before valid_from"),
    ("a day that no calendar has", filing(valid_to="2017-02-30"), "not a date of the calendar"),
    ("a time without an offset", filing(valid_from="2017-01-01T00:00:00"), "has no offset"),
    ("a filing time that is none", filing(recorded_at="yesterday"), "is not a time"),
    ("a filing time that is a date", filing(recorded_at="2017-01-02"), "has no offset"),
    ("an unknown kind", filing(agreement_kind="ECOMERCE"), "did you mean ECOMMERCE?"),
    ("an unknown filer", filing(filed_by="CITY"), "filed_by 'CITY' must be one of HQ, OUTLET"),
    ("a truth that is none", filing(org_code_present="是"), "must be true or false"),
    ("no customer", filing(customer_token=""), "customer_token is empty"),
    ("no id", filing(agreement_id=""), "agreement_id is empty"),
]


@pytest.mark.parametrize(
    ("case", "text", "message"), AGREEMENT_CASES, ids=[case[0] for case in AGREEMENT_CASES]
)
def test_a_mistake_among_agreements(case: str, text: str, message: str, areas: Areas) -> None:
    [(line, told)] = mistakes(Kind.AGREEMENTS, text, areas)
    assert (line, message in told) == (2, True), told


def test_a_filer_may_not_file_one_agreement_twice_but_two_may(areas: Areas) -> None:
    by_outlet = FILING.replace("HQ", "OUTLET")
    listing = parse(
        Kind.AGREEMENTS, (AGREEMENTS + FILING + by_outlet).encode(), file="f", areas=areas
    )
    assert len(listing.rows) == 2
    [(line, told)] = mistakes(Kind.AGREEMENTS, AGREEMENTS + FILING + by_outlet + FILING, areas)
    assert (line, told) == (
        4,
        "agreement A1 filed by HQ is listed twice, first in line 2; keep one",
    )


def test_good_outlets_are_read_as_they_stand(areas: Areas) -> None:
    text = (
        "\ufeffcounty_code,outlet_id,name,brand_code,enterprise_id\r\n"
        '150105, a ,"北街, 二部",ZTO,E1\r\n\r\n150172,b,开发区,SF,E2\r\n'
    )
    listing = parse(Kind.OUTLETS, text.encode(), file="f", areas=areas)
    assert isinstance(listing, Outlets)
    first, second = (row.item for row in listing.rows)
    assert (first.outlet_id, first.name, first.duty_group) == ("a", "北街, 二部", "150100-duty")
    assert second.county_code == "150172", "a development zone is accepted"


def test_dates_of_an_agreement_are_whole_business_days(areas: Areas) -> None:
    listing = parse(Kind.AGREEMENTS, (AGREEMENTS + FILING).encode(), file="f", areas=areas)
    assert isinstance(listing, Agreements)
    [row] = listing.rows
    assert row.item.valid_from_ms == instant_from_text("2017-01-01T00:00:00+08:00")
    assert row.item.valid_to_ms == instant_from_text("2017-12-31T23:59:59.999+08:00")


def test_times_of_an_agreement_are_kept_to_the_second(areas: Areas) -> None:
    text = filing(valid_from="2017-01-01T10:00:00Z", valid_to="2017-01-01T18:00:01+08:00")
    listing = parse(Kind.AGREEMENTS, text.encode(), file="f", areas=areas)
    assert isinstance(listing, Agreements)
    [row] = listing.rows
    assert row.item.valid_to_ms - row.item.valid_from_ms == 1000
