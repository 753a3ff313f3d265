"""`fedtune3d init`: an experiment file for the user's own sites."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d.cohorts.reading import list_diagnoses

CONTROL_WORDS = ("CN", "HC", "NC", "control", "healthy", "normal")

TEMPLATE = """\
# An experiment of fedtune3d. A key that is not given has its default; a run writes them all into its config.yaml.
name: {name}
seed: {seed}

sites:
{sites}
# {found}
# Any diagnosis that stands in neither list is left out and counted. A rule may stand for a list: positive: "cdr >= 1"
labels:
  positive: {positive}
  negative: {negative}

model:
  encoder: vit_b
  weights: random        # drawn from the seed, and called random everywhere; or the path of sam_med3d_turbo.pth
  head: conv_s

tuning:
  method: frozen         # only the head trains

training:
  rounds: {rounds}
  local_epochs: 1
  batch_size: 8
  head_learning_rate: 0.001

aggregation:
  rule: fedavg

baselines: [local, centralized]
on_bad_scan: stop        # or skip: leave a broken scan out, count it and list it
threads: {threads}
output: run
cache: cache
"""


def write_experiment(site_folders: Sequence[Path], output: Path, participants: Sequence[Path] = ()) -> None:
    """Write an experiment file for sites (folders or tables of paths), with their diagnoses for the user to sort.

    Diagnoses that look like a control group go to `negative`, the rest to `positive`.

    Args:
        site_folders: The sites.
        output: The file to write.
        participants: Tables of participants that are not in the sites' folders: one for all sites, or one per site.

    Raises:
        InputError: When a site cannot be read or has no diagnoses, two have the same name, the number of tables is
            another than that of sites, or the file exists.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; choose another name with --output, or delete it")
    if len(participants) not in (0, 1, len(site_folders)):
        raise InputError(
            f"--participants: expected one table for all sites or one for each of the {len(site_folders)}, "
            f"got {len(participants)}"
        )
    tables = list(participants) * (len(site_folders) if len(participants) == 1 else 1)
    found = count_diagnoses(site_folders, tables)
    lowered = {word.lower() for word in CONTROL_WORDS}
    negative = [diagnosis for diagnosis in sorted(found) if diagnosis.lower() in lowered]
    positive = [diagnosis for diagnosis in sorted(found) if diagnosis.lower() not in lowered]
    counts = ", ".join(f"{diagnosis} ({count})" for diagnosis, count in sorted(found.items()))
    text = fill_template(
        output, "experiment", 0, site_folders, positive, negative, f"Found: {counts}. Sort them.", 20, tables
    )
    write_text(output, text)


def count_diagnoses(site_folders: Sequence[Path], tables: Sequence[Path] = ()) -> Counter[str]:
    """Count the people of each diagnosis over all sites, from their own tables or from one given for each.

    Raises `InputError` when a site cannot be read.
    """
    counts = Counter[str]()
    for folder, table in zip_longest(site_folders, tables):
        counts += list_diagnoses(folder, participants=table)
    return counts


def _relative(path: Path, output: Path) -> str:
    return os.path.relpath(path.resolve(), output.parent.resolve())


def fill_template(
    output: Path,
    name: str,
    seed: int,
    folders: Sequence[Path],
    positive: Sequence[str],
    negative: Sequence[str],
    found: str,
    rounds: int,
    tables: Sequence[Path] = (),
) -> str:
    """Fill the template of an experiment file; the sites' paths count from the file's own folder.

    Raises:
        InputError: When two folders give the same site name.
    """
    names = [_site_name(folder) for folder in folders]
    if twice := sorted({site for site in names if names.count(site) > 1}):
        raise InputError(f"two folders give the site name {twice[0]}; rename one of the folders")
    sites = [
        {"name": site, "root": _relative(folder, output)}
        | ({} if table is None else {"participants": _relative(table, output)})
        for site, folder, table in zip_longest(names, folders, tables)
    ]
    return TEMPLATE.format(
        name=name,
        seed=seed,
        sites=yaml.safe_dump(sites, sort_keys=False),
        found=found,
        positive=_inline(positive),
        negative=_inline(negative),
        rounds=rounds,
        threads=os.cpu_count() or 1,
    )


def _site_name(folder: Path) -> str:
    whole = folder.resolve()
    name = whole.stem if whole.is_file() else whole.name
    name = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)
    return name.strip("-") or "site"


def _inline(words: Sequence[str]) -> str:
    return yaml.safe_dump(list(words), default_flow_style=True, width=10_000).strip()
