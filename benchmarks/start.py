"""How long the command line takes to start, next to Python alone and to the packages that parse and print for it.

    python benchmarks/start.py [--repeats 3] [--json]

Each command runs in a process of its own, in turns; the best wall time of each counts. With `--json` the last line is
one JSON object.
"""

import argparse
import json
import subprocess
import sys
import time

COMMANDS = {
    "python": ["-c", "pass"],
    "packages": ["-c", "import typer.rich_utils"],
    "help": ["-m", "fedtune3d", "--help"],
}


def best_seconds(repeats: int) -> dict[str, float]:
    """The best time of each command, after a turn that is not counted."""
    best = dict.fromkeys(COMMANDS, float("inf"))
    for turn in range(repeats + 1):
        for name, words in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
            if turn:
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    seconds = best_seconds(options.repeats)
    for name, words in COMMANDS.items():
        print(f"{seconds[name]:.3f} s  python {' '.join(words)}")
    if options.json:
        print(json.dumps({name: round(value, 3) for name, value in seconds.items()}))


if __name__ == "__main__":
    main()
