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

MIN_STEPS = 8
"""Steps per round, at least, in the file of `init`: with fewer, sites of a few scans end before the model has learnt
(docs/evaluation.md)."""

MIN_STEPS_LINE = "  min_steps: {}           # per round: a site of few scans passes over them more often\n"

TEMPLATE = """\
# A fedtune3d experiment. Missing keys have their defaults; a run writes all of them to its config.yaml.
name: {name}
seed: {seed}

sites:
{sites}
# {note}
{outcome}
model:
  encoder: vit_b
  weights: random        # drawn from the seed, and reported as random; or the path of sam_med3d_turbo.pth
  head: conv_s

tuning:
  method: frozen         # only the head is trained

training:
  rounds: {rounds}
  local_epochs: 1
{min_steps}  batch_size: 8
  head_learning_rate: 0.001

aggregation:
  rule: fedavg

baselines: [local, centralized]
on_bad_scan: stop        # or skip: leave a broken scan out, count it and list it
threads: {threads}
output: run
cache: cache
"""

TWO_CLASSES = """\
# Diagnoses in neither list are left out and counted. Instead of a list, write an expression: positive: "cdr >= 1"
labels:
  positive: {positive}
  negative: {negative}
"""


def write_experiment(site_folders: Sequence[Path], output: Path, participants: Sequence[Path] = ()) -> None:
    """Write an experiment file for sites (folders or tables of paths), with their diagnoses for the user to sort.

    Diagnoses that look like a control group go to `negative`, all others to `positive`.

    Args:
        site_folders: The sites.
        output: The file to write.
        participants: Participants tables outside the sites' folders: one for all sites, or one per site.

    Raises:
        InputError: If a site cannot be read or has no diagnoses, two have the same name, the number of tables differs
            from that of sites, or the file exists.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; choose another name with --output, or delete it")
    if len(participants) not in (0, 1, len(site_folders)):
        raise InputError(
            f"--participants: expected one table for all sites or one for each of the {len(site_folders)}, "
            f"got {len(participants)}"
        )
    tables = list(participants) * (len(site_folders) if len(participants) == 1 else 1)
    counts = count_diagnoses(site_folders, tables)
    control = {word.lower() for word in CONTROL_WORDS}
    negative = [diagnosis for diagnosis in sorted(counts) if diagnosis.lower() in control]
    positive = [diagnosis for diagnosis in sorted(counts) if diagnosis.lower() not in control]
    listed = ", ".join(f"{diagnosis} ({count})" for diagnosis, count in sorted(counts.items()))
    note = f"Found: {listed}. Check their assignment."
    labels = two_classes(positive, negative)
    text = fill_template(output, "experiment", 0, site_folders, labels, note, 20, MIN_STEPS, tables)
    write_text(output, text)


def count_diagnoses(site_folders: Sequence[Path], tables: Sequence[Path] = ()) -> Counter[str]:
    """Count the people with each diagnosis over all sites, from their own tables or the given ones.

    Raises `InputError` if a site cannot be read.
    """
    counts = Counter[str]()
    for folder, table in zip_longest(site_folders, tables):
        counts += list_diagnoses(folder, participants=table)
    return counts


def _relative(path: Path, output: Path) -> str:
    return os.path.relpath(path.resolve(), output.parent.resolve())


def two_classes(positive: Sequence[str], negative: Sequence[str]) -> str:
    """Return the lines of an experiment file with two classes of diagnoses."""
    return TWO_CLASSES.format(positive=_inline(positive), negative=_inline(negative))


def fill_template(
    output: Path,
    name: str,
    seed: int,
    folders: Sequence[Path],
    outcome: str,
    note: str,
    rounds: int,
    min_steps: int = 0,
    tables: Sequence[Path] = (),
) -> str:
    """Fill in the template of an experiment file; the sites' paths are relative to the file's folder.

    Args:
        output: The file.
        name: The experiment's name.
        seed: Its seed.
        folders: The sites.
        outcome: The lines that say what is predicted, such as `two_classes`.
        note: A comment above them.
        rounds: Number of rounds.
        min_steps: Optimiser steps per round, at least; with 0 the file does not say.
        tables: Participants tables outside the sites' folders.

    Raises:
        InputError: If two folders give the same site name.
    """
    names = [_site_name(folder) for folder in folders]
    if repeated := sorted({site for site in names if names.count(site) > 1}):
        raise InputError(f"two folders give the site name {repeated[0]}; rename one of the folders")
    sites = [
        {"name": site, "root": _relative(folder, output)}
        | ({} if table is None else {"participants": _relative(table, output)})
        for site, folder, table in zip_longest(names, folders, tables)
    ]
    return TEMPLATE.format(
        name=name,
        seed=seed,
        sites=yaml.safe_dump(sites, sort_keys=False),
        note=note,
        outcome=outcome,
        rounds=rounds,
        min_steps=MIN_STEPS_LINE.format(min_steps) if min_steps else "",
        threads=os.cpu_count() or 1,
    )


def _site_name(folder: Path) -> str:
    resolved = folder.resolve()
    name = resolved.stem if resolved.is_file() else resolved.name
    name = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)
    return name.strip("-") or "site"


def _inline(words: Sequence[str]) -> str:
    return yaml.safe_dump(list(words), default_flow_style=True, width=10_000).strip()
