"""Reject codes are names that others rely on."""

import re

import pytest

from streams.records.rejects import Reject, RejectCode
from streams.records.shipments import TYPE_OF
from streams.resources import schema_dir


def test_a_code_is_spelt_like_its_name() -> None:
    assert all(code.value == code.name.lower() for code in RejectCode)


def test_the_bad_examples_of_the_schemas_are_named_by_codes() -> None:
    paths = [p for name in TYPE_OF.values() for p in schema_dir().glob(f"examples/{name}/*/bad/*")]
    assert paths
    for path in paths:
        assert re.sub(r"-\d+$", "", path.stem) in {code.value for code in RejectCode}, path


def test_rejects_compare_by_what_they_say() -> None:
    one, same = (Reject(0, RejectCode.EMPTY, "$", "") for _ in range(2))
    assert one == same
    assert one != Reject(1, RejectCode.EMPTY, "$", "")


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("/enterprise/zt", "/enterprise/zt"),
        ("", ""),
        ("13800138000", ""),
        ("张三丰", ""),
        ("x\n", ""),
    ],
)
def test_a_source_that_is_no_code_goes_nowhere(source: str, kept: str) -> None:
    assert Reject(0, RejectCode.SCHEMA, "$", source).source == kept
