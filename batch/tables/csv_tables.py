"""The tables as CSV that a spreadsheet can open without running what stands in a file name."""

import csv
from typing import BinaryIO

import pandas as pd
import pyarrow as pa

_INTEGERS = {pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}
"""Types that stay integers where one is missing."""
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def write_csv(table: pa.Table, file: BinaryIO, header: bool = True) -> None:
    """Write ``table`` as UTF-8 CSV. Text that a spreadsheet would run as a formula gets an apostrophe in front.

    Without ``header`` the rows alone, to go on with a file.
    """
    for number, batch in enumerate(
        table.to_batches(max_chunksize=50_000) or [pa.RecordBatch.from_pylist([], table.schema)]
    ):
        frame = batch.to_pandas(types_mapper=_INTEGERS.get)
        for name in frame.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]]:
            if name not in ("taken_at", "annotated_at"):
                frame[name] = frame[name].map(defused, na_action="ignore")
        # All text in quotes: pandas would leave a name with a bare carriage return in it without.
        quoting = csv.QUOTE_NONNUMERIC
        frame.to_csv(file, mode="wb", header=header and not number, index=False, quoting=quoting)


def defused(text: str) -> str:
    """``text`` with an apostrophe in front if it starts like a formula (OWASP, CSV injection) or with an apostrophe."""
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text
