"""What is taken for personal information, and what is not. All numbers are made up."""

import pytest

from streams.domain.personal import (
    code_or_mask,
    holds_identity_number,
    holds_mobile_number,
    is_code,
    is_identity_number,
    masked,
)

IDENTITY = "11010519491231002X"  # The example of GB 11643.

IDENTITIES = [
    (IDENTITY, True, "the standard's own example"),
    (IDENTITY.lower(), True, "its check digit in lower case"),
    ("110105194912310021", False, "another check digit"),
    ("11010519491331002X", False, "a thirteenth month"),
    ("11010518991231002X", False, "nobody is as old as that"),
    ("11010519491231002", False, "a digit is missing"),
    ("ZT1010519491231002", False, "a waybill with letters"),
    ("１１０１０５１９４９１２３１００２X", False, "digits of another alphabet are no code anyway"),
]


@pytest.mark.parametrize(("text", "is_one", "why"), IDENTITIES)
def test_an_identity_number_is_known_by_birthday_and_check_digit(
    text: str, is_one: bool, why: str
) -> None:
    assert is_identity_number(text) is is_one, why


MOBILES = [
    ("13800138000", True, "a mobile number"),
    ("+86 138-0013-8000", True, "as people write it"),
    ("8613800138000", True, "with the country in front"),
    ("call 13800138000, please", True, "in a sentence"),
    ("12800138000", False, "no mobile number begins so"),
    ("1380013800", False, "a digit is missing"),
    ("138001380001", False, "a number of twelve digits"),
    ("R13800138000", False, "an id with a letter in front"),
    ("2017-09-08T10:15:30.138+08:00", False, "a time"),
]


@pytest.mark.parametrize(("text", "holds_one", "why"), MOBILES)
def test_a_mobile_number_is_found_as_a_word_of_its_own(
    text: str, holds_one: bool, why: str
) -> None:
    assert holds_mobile_number(text) is holds_one, why


def test_an_identity_number_is_found_as_a_word_of_its_own() -> None:
    assert holds_identity_number(f"id={IDENTITY};")
    assert not holds_identity_number(f"R{IDENTITY}")


CODES = [
    ("150102-YTO-0001", True, "an outlet"),
    ("/enterprise/yto", True, "a source"),
    ("lost in the post", True, "words of ASCII letters"),
    ("张三", False, "letters that codes do not have may be a name"),
    (IDENTITY, False, "an identity number"),
    ("13800138000", False, "a mobile number"),
    ("x\n", False, "a line break would forge a line of a log"),
    (" x", False, "a blank at the edge"),
    ("", False, "nothing"),
    ("x" * 129, False, "longer than any code"),
]


@pytest.mark.parametrize(("text", "is_one", "why"), CODES)
def test_a_code_is_printable_and_holds_no_number_of_a_person(
    text: str, is_one: bool, why: str
) -> None:
    assert is_code(text) is is_one, why


def test_of_what_is_no_code_only_the_length_is_shown() -> None:
    assert code_or_mask("/enterprise/yto") == "/enterprise/yto"
    assert code_or_mask("") == ""
    assert code_or_mask("张三") == "<2 characters>"


def test_a_waybill_keeps_its_ends_and_a_short_one_nothing() -> None:
    assert masked("ZT0000000000001") == "ZT0********0001"
    assert masked("ZT00001") == "*******"
