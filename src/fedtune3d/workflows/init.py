"""`fedtune3d init`: an experiment file for the user's own sites."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from shlex import quote

import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d.cohorts.reading import list_diagnoses, list_numbers
from fedtune3d.workflows.outcome_lines import MISSING, listed, named_classes, number, two_classes

CONTROL_WORDS = ("CN", "HC", "NC", "control", "healthy", "normal")

RUN, RUN_OF = "run", "experiment"
"""The folder of the results of an experiment of this name; other experiments have `run-` and their names."""

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
  encoder: vit_b         # its weights are random, drawn from the seed, and reported as random, unless you give
                         # weights: sam_med3d_turbo.pth. Pre-trained without a download: encoder: deepbet
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
on_bad_scan: stop        # or skip: exclude a broken scan, count it and list it
threads: {threads}
output: {run}
cache: cache
"""

MISSING_TABLES = "--participants: expected one table for all sites or one for each of the {sites}, got {tables}"

SEVERITY = (("scd", "smc"), ("emci",), ("mci",), ("lmci",))
"""Words of stages between healthy and demented, from the mildest on."""


@dataclass(frozen=True)
class Written:
    """What `write_experiment` found and wrote, for the terminal.

    Attributes:
        found: The diagnoses, or the column of numbers, with counts.
        section: The section of the file to check: ``labels`` or ``target``.
        hint: Another way to sort three or more diagnoses; empty if there is none.
    """

    found: str
    section: str
    hint: str = ""


def write_experiment(
    site_folders: Sequence[Path],
    output: Path,
    participants: Sequence[Path] = (),
    classes: Sequence[str] | None = None,
    target: str | None = None,
) -> Written:
    """Write an experiment file for sites (folders or tables of paths), with their diagnoses for the user to sort.

    Without `classes` and `target`, diagnoses that look like a control group go to `negative`, all others to `positive`.

    Args:
        site_folders: The sites.
        output: The file to write.
        participants: Participants tables outside the sites' folders: one for all sites, or one per site.
        classes: Diagnoses to predict, one class each, in this order; None for two classes.
        target: The column of a number to predict; None for classes.

    Raises:
        InputError: If a site cannot be read or has no diagnoses (or numbers), two have the same name, the number of
            tables differs from that of sites, nobody has one of the `classes`, or the file exists.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; choose another name with --output, or delete it")
    if len(participants) not in (0, 1, len(site_folders)):
        raise InputError(MISSING_TABLES.format(sites=len(site_folders), tables=len(participants)))
    if classes is not None and target is not None:
        raise InputError("--classes and --target are both given; keep the one that says what the model predicts")
    tables = list(participants) * (len(site_folders) if len(participants) == 1 else 1)
    if target is None:
        outcome, note, written = _of_diagnoses(count_diagnoses(site_folders, tables), classes)
    else:
        outcome, note, written = _of_numbers(site_folders, tables, target)
    name = _name_from(output)
    run = RUN if name == RUN_OF else f"{RUN}-{name}"
    text = fill_template(output, name, 0, site_folders, outcome, note, 20, MIN_STEPS, tables, run)
    write_text(output, text)
    return written


def _of_diagnoses(counts: Counter[str], classes: Sequence[str] | None) -> tuple[str, str, Written]:
    """Return the lines of the outcome, the comment above them, and what to print."""
    if classes is not None:
        lines, check = named_classes(classes, counts), "Check the classes."
    else:
        negative = [diagnosis for diagnosis in sorted(counts) if _is_control(diagnosis)]
        positive = [diagnosis for diagnosis in sorted(counts) if not _is_control(diagnosis)]
        lines, check = two_classes(positive, negative), "Check their assignment."
    several = sorted((diagnosis for diagnosis in counts if diagnosis != MISSING), key=_severity)
    hint = f"For one class per diagnosis, write another file with --classes {quote(','.join(several))}"
    has_hint = classes is None and len(several) > 2
    written = Written(f"diagnoses: {listed(counts)}", "labels", hint if has_hint else "")
    return lines, f"Found: {listed(counts)}. {check}", written


def _of_numbers(folders: Sequence[Path], tables: Sequence[Path], column: str) -> tuple[str, str, Written]:
    """Return the lines of the outcome, the comment above them, and what to print."""
    controls: list[str] = []
    values = [
        value
        for folder, table in zip_longest(folders, tables)
        for value in list_numbers(folder, column, participants=table)
    ]
    known = sum(value is not None for value in values)
    found = f"{column}: {known} of {len(values)} rows have a number"
    with suppress(InputError):  # a table for a number need not have a diagnosis
        controls = [diagnosis for diagnosis in sorted(count_diagnoses(folders, tables)) if _is_control(diagnosis)]
    return number(column, values, controls), f"Found: {found}. Check range, unit and missing.", Written(found, "target")


def _is_control(diagnosis: str) -> bool:
    return diagnosis.lower() in {word.lower() for word in CONTROL_WORDS}


def _severity(diagnosis: str) -> tuple[int, str]:
    """Return a sort key: controls first, then the stages before dementia, then everything else by name."""
    stages = [stage for stage, words in enumerate(SEVERITY, 1) if diagnosis.lower() in words]
    return 0 if _is_control(diagnosis) else stages[0] if stages else len(SEVERITY) + 1, diagnosis


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
    run: str = RUN,
) -> str:
    """Fill in the template of an experiment file; the sites' paths are relative to the file's folder.

    Args:
        output: The file.
        name: The experiment's name.
        seed: Its seed.
        folders: The sites.
        outcome: The lines that say what is predicted, such as those of `outcome_lines.two_classes`.
        note: A comment above them.
        rounds: Number of rounds.
        min_steps: Optimiser steps per round, at least; with 0 the file does not say.
        tables: Participants tables outside the sites' folders.
        run: The folder of the results.

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
        run=run,
    )


def _site_name(folder: Path) -> str:
    resolved = folder.resolve()
    return _as_name(resolved.stem if resolved.is_file() else resolved.name) or "site"


def _name_from(output: Path) -> str:
    """Name an experiment after its file, so that two files in a folder do not share a name and a run folder."""
    return _as_name(output.stem)[:64] or RUN_OF


def _as_name(text: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text).strip("-")
