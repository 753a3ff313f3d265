"""Whether hospitals train their `local` baselines at the same time: how many are at work on average.

    python benchmarks/hospital_baselines.py FOLDER [--rounds 4] [--scans 100] [--json]

The job is that of `engines.py`, with the baseline `local`, on this project's deployment: a SuperLink and four sites,
each a process of its own. A site passes eight times over its scans in a round, as at 100 scans a single pass takes a
second, less than the messages. From the ledgers of the baseline: the seconds that each site needed for its task, summed
over the sites, divided by the seconds until the last of them had answered. One site after the other gives 1 at most. As
the sites' sizes differ, the largest is alone at the end, so all four at once give less than 4. With `--json` the last
line is one JSON object.
"""

import argparse
import json
from pathlib import Path

from engines import Job, deployment, in_process
from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.ledger import LedgerLine, read_ledger

EPOCHS = 8


def measure(job: Job) -> dict[str, float]:
    """Run across hospitals and read the ledgers; rounds after the first."""
    in_process(job)  # prepares, splits and encodes
    job.values["baselines"] = ["local"]
    job.values["training"]["local_epochs"] = EPOCHS
    deployment(job)
    folder = RunFolder(job.folder / "across")
    ledgers = {site: read_ledger(folder.local_rounds(site).ledger) for site in job.roots}
    rounds = [dict(zip(ledgers, lines, strict=True)) for lines in zip(*ledgers.values(), strict=True)]
    return at_work([lines for lines in rounds[1:] if all(line.trains for line in lines.values())])


def at_work(rounds: list[dict[str, LedgerLine]]) -> dict[str, float]:
    """Seconds of the sites and of the rounds, and how many sites were at work on average.

    Args:
        rounds: Of each round, site → the line of its ledger.
    """
    sites = sum(line.sites[site].seconds or 0.0 for lines in rounds for site, line in lines.items())
    waited = sum(max(line.seconds for line in lines.values()) for lines in rounds)
    return {"site_seconds": sites, "seconds": waited, "at_work": sites / waited, "rounds": len(rounds)}


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--scans", type=int, default=100, help="of each site")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = measure(Job(options.folder.resolve(), options.scans, options.rounds))
    print(f"{found['rounds']} rounds of `local` after the first: the sites worked {found['site_seconds']:.1f} s within")
    print(f"{found['seconds']:.1f} s, so {found['at_work']:.2f} of four were at work on average")
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
