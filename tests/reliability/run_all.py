"""Run every program of this folder and write what came of them into docs/reliability.md.

`python tests/reliability/run_all.py`, or `make reliability`; about an hour and a half on two cores. What was done is
kept in `reliability/`, one file per program, so the same command continues where it was stopped. After a mend,
--go-on repeats what failed, and the document names the commits of all cases. --scale 0.05 tries it out without
touching the document.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from record import GO_ON

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- counts: begin -->", "<!-- counts: end -->"


def run_program(name: str, *options: object) -> tuple[dict[str, Any], bool]:
    """Run a program and show its output. Returns the JSON on its last line, and whether nothing failed."""
    command = [sys.executable, HERE / f"{name}.py", "--json", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line
    if process.returncode not in (0, 1):
        raise SystemExit(f"{name}: exit code {process.returncode}")
    return json.loads(last), process.returncode == 0


def counts_table(values: dict[str, Any], head: str) -> str:
    """The counts of a program as a Markdown table, a row for each of its kinds."""
    counts: dict[str, dict[str, int]] = values["counts"]
    columns = list(dict.fromkeys(column for row in counts.values() for column in row))
    rows = [[head, *columns], ["---", *("---:" for _ in columns)]]
    rows += [[name, *(str(row.get(column, 0)) for column in columns)] for name, row in counts.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_counts(parts: Iterable[str]) -> None:
    """Replace what stands between the markers in the document."""
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    """Run the programs. Returns 1 where a case failed; the counts are then not written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full numbers of cases, to try it out")
    parser.add_argument("--record", type=Path, default=Path("reliability"), help="the folder that keeps what was done")
    parser.add_argument("--go-on", action="store_true", help=GO_ON)
    options = parser.parse_args()
    options.record.mkdir(exist_ok=True)
    go_on = ("--go-on",) if options.go_on else ()
    sample = () if options.scale >= 1 else ("--sample", max(1, round(200 * options.scale)))
    programs: tuple[tuple[str, str, tuple[object, ...]], ...] = (
        ("fuzz", "Damaged file", ("--cases", max(1, round(2000 * options.scale)))),
        ("kills", "Killed command", ("--kills", max(1, round(200 * options.scale)))),
        ("faults", "Injected error", sample),
        ("twice", "Started at once", ("--trials", max(1, round(50 * options.scale)))),
    )
    parts, well = [f"Written on {date.today().isoformat()} by `make reliability`."], True
    for name, head, arguments in programs:
        values, good = run_program(name, *arguments, *go_on, "--record", options.record / f"{name}.jsonl")
        well &= good
        cost = f"{values['seconds'] / 60:.0f} minutes, {values['cpu_seconds'] / 60:.0f} CPU minutes"
        parts.append(f"`{name}.py`, commit {values['commit']}, {cost}:\n\n{counts_table(values, head)}")
    if well and options.scale >= 1:
        write_counts(parts)
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
