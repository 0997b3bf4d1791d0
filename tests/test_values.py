"""Columns of tables as Python's values."""

import pyarrow as pa
import pytest

from batch.tables.values import few_values, texts, whole_numbers

TEXTS = ["a", "", "b/ü", "\U0001f600", "tab\there", "\\x80"]


def cut(values: list[object], kind: pa.DataType) -> pa.ChunkedArray:
    """The values in two chunks, each a slice of something longer."""
    array = pa.array([values[-1], *values, values[0]], kind)
    return pa.chunked_array([array[1:3], array[3:-1]])


@pytest.mark.parametrize("values", [TEXTS, [*"plain", "ascii"]])
def test_values_are_those_that_arrow_gives(values: list[str]) -> None:
    """Whatever the chunks, slices, bytes to a letter, and nulls where there may be some."""
    numbers = [3, -(2**62), 0, 7]
    assert texts(cut(values, pa.string())) == values
    assert few_values(cut([*values, None, *values], pa.string())) == [*values, None, *values]
    assert whole_numbers(cut(numbers, pa.int64())) == numbers
    assert whole_numbers(cut([1, 2, -3, 4], pa.int16())) == [1, 2, -3, 4]


def test_columns_without_rows_have_no_values() -> None:
    """Also where Arrow has no buffers for them."""
    nothing = pa.chunked_array([], pa.string())
    assert texts(nothing) == few_values(nothing) == whole_numbers(pa.chunked_array([], pa.int64())) == []
