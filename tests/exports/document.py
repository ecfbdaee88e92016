"""Runs the blocks of a Markdown document in order: Python in one namespace, SQL in DuckDB.

For each block it prints the language, the number of rows if known, and the sum of its hours if it
has any.
"""

import json
import os
import re
import sys
from pathlib import Path

import duckdb

document, folder = Path(sys.argv[1]).read_text(), sys.argv[2]
os.chdir(folder)
names, told = {}, []
connection = duckdb.connect()
hours = None
for language, code in re.findall(
    r"^```(python|sql)\n(.*?)^```", document, re.MULTILINE | re.DOTALL
):
    if language == "sql":
        found = connection.sql(code)
        table, columns = found.fetchall(), found.columns
        rows = len(table)
        hours = sum(row[columns.index("hours")] for row in table) if "hours" in columns else None
    else:
        exec(compile(code, "SCHEMA.md", "exec"), names)
        frames = [value for value in names.values() if type(value).__name__ == "DataFrame"]
        rows = len(frames[-1]) if frames else None
    told.append([language, rows, hours])
json.dump(told, sys.stdout)
