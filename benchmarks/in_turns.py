"""Two worktrees of this project in turns: whether a change made anything slower.

    git worktree add ../before COMMIT
    python benchmarks/in_turns.py ../before . --scan head_T1w.nii.gz [--turns 3] [--json]

Each measure runs in a process of its own, the trees alternately, so that a machine whose speed changes changes both.
Printed are the medians, the spread of each, and the ratio of the second tree to the first, turn by turn. `--scan` is a
raw head with its skull; its preparation is given in CPU seconds, all else in wall seconds. With `--json` the last line
is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

PRELUDE = """
import sys, time
import torch
def timed(run, clock=time.perf_counter):
    began = clock()
    run()
    print(clock() - began)
"""
ENCODER = (
    PRELUDE
    + """
torch.set_num_threads(2)
from fedtune3d.models.encoders import build_encoder
encoder = build_encoder("vit_b").eval()
torch.manual_seed(0)
for parameter in encoder.parameters():
    torch.nn.init.normal_(parameter, std=0.02)
def forward(batch, dtype=torch.float32):
    scans = torch.randn(batch, 1, 128, 128, 128)
    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            encoder(scans)
    run()
    return run
def step():
    scan = torch.randn(1, 1, 128, 128, 128)
    def run():
        encoder.zero_grad(set_to_none=True)
        encoder(scan).sum().backward()
    run()
    return run
"""
)
MEASURES = {
    "encoder, float32, one scan": f"{ENCODER}timed(forward(1))",
    "encoder, float32, four scans": f"{ENCODER}timed(forward(4))",
    "encoder, bfloat16, four scans": f"{ENCODER}timed(forward(4, torch.bfloat16))",
    "training step of the encoder": f"{ENCODER}timed(step())",
    "preparation of a raw head (CPU)": PRELUDE
    + """
torch.set_num_threads(1)
from pathlib import Path
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.template import load_template
load_template(128, 1.5)
prepare_scan(Path(sys.argv[1]))
timed(lambda: prepare_scan(Path(sys.argv[1])), time.process_time)
""",
    "start of --help": PRELUDE
    + """
import subprocess
timed(lambda: subprocess.run([sys.executable, "-m", "fedtune3d", "--help"], check=True, stdout=subprocess.DEVNULL))
""",
}


def measure(tree: Path, code: str, scan: Path) -> float:
    """Seconds of one measure with the code of a tree."""
    environment = os.environ | {"PYTHONPATH": str(tree.resolve() / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(scan)], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Parse, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--scan", type=Path, required=True, help="a raw head")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    print("| what | before | after | after / before |\n|---|---|---|---|")
    for name, code in MEASURES.items():
        pairs = [
            tuple(measure(tree, code, options.scan) for tree in (options.before, options.after))
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
