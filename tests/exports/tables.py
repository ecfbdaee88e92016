"""Compares the CSV, JSON lines and Parquet of an export by value and type, and prints their
contents.
"""

import json
import sys
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet

folder = Path(sys.argv[1])
found = {}
for table in ["trials", "points", "events", "workers"]:
    parquet = pyarrow.parquet.read_table(folder / f"{table}.parquet")
    rows = parquet.to_pylist()
    lines = [json.loads(line) for line in (folder / f"{table}.jsonl").read_text().splitlines()]
    for row in rows:
        if "settings" in row:
            row["settings"] = json.loads(row["settings"])
    assert rows == lines, table
    # All columns are read as text and compared one by one, so that pandas' guesses cannot change a
    # number.
    csv = pandas.read_csv(folder / f"{table}.csv", dtype=str, keep_default_na=False).to_dict(
        "records"
    )
    assert len(csv) == len(rows), table
    for texts, row in zip(csv, rows):
        assert list(texts) == list(row), table
        for name, value in row.items():
            text = texts[name]
            if value is None:
                assert text == "", (table, name, text)
            elif isinstance(value, bool):
                assert text == str(value).lower(), (table, name, text)
            elif isinstance(value, (int, float)):
                assert type(value)(text) == value, (table, name, text)
            elif isinstance(value, dict):
                assert json.loads(text) == value, (table, name, text)
            else:
                assert text == value, (table, name, text)
    types = {field.name: str(field.type) for field in parquet.schema}
    metadata = pyarrow.parquet.read_metadata(folder / f"{table}.parquet")
    found[table] = {
        "rows": rows,
        "types": types,
        "groups": metadata.num_row_groups,
        "by": metadata.created_by,
    }

json.dump(found, sys.stdout)
