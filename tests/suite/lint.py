"""Runs many commands of pkilint in one process: starting one takes longer than linting.

A line of standard input is a command and its words. Each prints its notices, warnings and errors
as one line of JSON, and `null` where it could not read its file.
"""

import contextlib
import importlib
import io
import json
import sys

for line in sys.stdin:
    command, *words = line.split()
    main = importlib.import_module("pkilint.bin." + command).main
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        main(["lint", "--format", "JSON", "--severity", "NOTICE", *words])
    print(json.dumps(json.loads(report.getvalue() or "null")))
