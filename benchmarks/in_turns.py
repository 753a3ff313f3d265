"""Two worktrees of this project in turns: whether a change made anything slower.

    git worktree add ../before COMMIT
    python benchmarks/in_turns.py ../before . --scan head_T1w.nii.gz [--turns 3] [--only MEASURE …] [--json]

Each measure runs in a process of its own, the trees alternately, so that a machine whose speed changes changes both.
Printed are the medians, the spread of each, and the ratio of the second tree to the first, turn by turn: the less, the
better. Seconds are wall seconds where nothing else is said. `--scan` is a raw head with its skull. A round in one
process is that of four simulated sites of 30 scans. With `--json` the last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from peers.turn import MEASURES

TURN = Path(__file__).parent / "peers" / "turn.py"


def measure(tree: Path, name: str, scan: Path, folder: Path) -> float:
    """One measure with the code of a tree."""
    tree = tree.resolve()
    environment = os.environ | {"PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree / 'benchmarks'}"}
    words = [sys.executable, str(TURN), name, str(scan), str(folder), str(tree)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tree}: {name}: {done.stderr[-2000:]}")
    return float(done.stdout.splitlines()[-1])


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    digits = 0 if min(values) > 20 else 2
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Parse, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--scan", type=Path, required=True, help="a raw head")
    parser.add_argument("--turns", type=int, default=3)
    names = list(MEASURES)
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="MEASURE", help="; ".join(names).replace("%", "%%")
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    print("| what | before | after | after / before |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, side) for side in ("before", "after")]
        for folder in folders:
            folder.mkdir()
        for name in options.only:
            pairs = [
                [
                    measure(tree, name, options.scan.resolve(), folder)
                    for tree, folder in zip((options.before, options.after), folders, strict=True)
                ]
                for _ in range(options.turns)
            ]
            before, after = ([pair[side] for pair in pairs] for side in (0, 1))
            found[name] = {"before": before, "after": after}
            ratios = [second / first for first, second in pairs]
            print(f"| {name} | {spread(before)} | {spread(after)} | {spread(ratios)} |", flush=True)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
