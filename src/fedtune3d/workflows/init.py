"""`fedtune3d init`: an experiment file for the user's own sites."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from shlex import quote
from typing import TypeVar

import torch
import yaml
from joblib import cpu_count

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_text
from fedtune3d.cohorts.missing_columns import missing_columns_line
from fedtune3d.cohorts.reading import list_columns, list_diagnoses, list_numbers
from fedtune3d.cohorts.records import DIAGNOSIS
from fedtune3d.models.encoders import encoder_spec
from fedtune3d.workflows.diagnosis_words import by_severity, is_control, sort_into_two
from fedtune3d.workflows.model_lines import model_lines
from fedtune3d.workflows.outcome_lines import FILL_IN, MISSING, listed, named_classes, number, two_classes
from fedtune3d.workflows.site_labels import OWN_LABELS, SiteLabels, as_comments, labels_of

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
{model}

tuning:
  method: frozen         # only the head is trained

training:
  rounds: {rounds}
  local_epochs: 1
{min_steps}  batch_size: 8
  head_learning_rate: 0.001

aggregation:
  rule: fedavg

baselines: {baselines}
on_bad_scan: stop        # or skip: exclude a broken scan, count it and list it
threads: {threads}
workers: {workers}               # processes that share the sites, each with these threads
output: {run}
cache: cache
"""

WRONG_NUMBER = "{option}: expected one {what} for all sites or one for each of the {sites}, got {given}"

BASELINES = "[local, centralized]"
NO_BASELINES = "[]            # with one site, local, centralized and federated training would be the same"
ONE_SITE = (
    "One site: there is nothing to federate. To add sites, name all their folders in one command, with another --output"
)

DEFAULT_ENCODER = "vit_b"

Given = TypeVar("Given", Path, str)


@dataclass(frozen=True)
class Written:
    """The result of `write_experiment`, for the terminal.

    Attributes:
        found: The diagnoses, or the column of numbers, with counts.
        section: The section of the file to check: ``labels`` or ``target``.
        assigned: Which diagnoses were assigned to which class, and which to none; empty for a number, and for classes
            that the user named from all diagnoses.
        hints: What else to know or to do.
        is_complete: Whether every class is defined; otherwise `FILL_IN` stands where the user has to write one.
    """

    found: str
    section: str
    assigned: str = ""
    hints: tuple[str, ...] = ()
    is_complete: bool = True


def write_experiment(
    site_folders: Sequence[Path],
    output: Path,
    participants: Sequence[Path] = (),
    classes: Sequence[str] | None = None,
    target: str | None = None,
    encoder: str = DEFAULT_ENCODER,
    diagnosis: Sequence[str] = (),
) -> Written:
    """Write an experiment file for sites (folders or tables of paths), with their diagnoses for the user to sort.

    Without `classes` and `target`, controls are assigned to `negative` and dementia (or the only other diagnosis) to
    `positive`. What the model should make of any other diagnosis is the user's question: it is in neither list.

    Args:
        site_folders: The sites.
        output: The file to write.
        participants: Participants tables outside the sites' folders: one for all sites, or one per site.
        classes: Diagnoses to predict, one class each, in this order; None for two classes.
        target: The column of a number to predict; None for classes.
        encoder: The encoder's name.
        diagnosis: The columns of diagnoses: one for all sites, or one per site; by default ``diagnosis``. With another
            column at all sites, the classes are expressions on it; where columns differ, a site whose column is not
            ``diagnosis`` gets labels of its own.

    Raises:
        InputError: If a site cannot be read or has no diagnoses (or numbers), two have the same name, the number of
            tables or columns differs from that of sites, nobody has one of the `classes`, there is no such encoder, or
            the file exists.
    """
    if output.exists():
        raise InputError(f"{output}: exists already; choose another name with --output, or delete it")
    if classes is not None and target is not None:
        raise InputError("--classes and --target are both given; keep the one that says what the model predicts")
    if diagnosis and target is not None:
        raise InputError("--diagnosis and --target are both given; a number needs no diagnoses: leave out --diagnosis")
    model = model_lines(encoder_spec(encoder))
    tables = _one_per_site(participants, site_folders, "--participants", "table")
    columns = _one_per_site(diagnosis, site_folders, "--diagnosis", "column")
    labels: list[SiteLabels | None] = []
    if target is None:
        by_site = _diagnoses_by_site(site_folders, tables, columns)
        shared = columns[0] if len(set(columns)) == 1 else DIAGNOSIS
        outcome, note, written = _of_diagnoses(sum(by_site, Counter[str]()), classes, shared)
        if len(set(columns)) > 1:
            labels = labels_of(outcome, columns, by_site)
            note += OWN_LABELS
    else:
        outcome, note, written = _of_numbers(site_folders, tables, target)
    name = _name_from(output)
    run = RUN if name == RUN_OF else f"{RUN}-{name}"
    text = fill_template(output, name, 0, site_folders, outcome, note, 20, MIN_STEPS, tables, run, model, labels)
    write_text(output, text)
    is_complete = FILL_IN not in text
    hints = [*written.hints, *_missing_columns(site_folders, tables), *([ONE_SITE] if len(site_folders) == 1 else [])]
    return replace(written, hints=tuple(hints), is_complete=is_complete)


def _missing_columns(folders: Sequence[Path], tables: Sequence[Path]) -> list[str]:
    """Say once, with the sites, which columns their tables lack."""
    sites: dict[str, list[str]] = {}
    for folder, table in zip_longest(folders, tables):
        if line := missing_columns_line(list_columns(folder, participants=table)):
            sites.setdefault(line, []).append(_site_name(folder))
    return [f"{', '.join(names)}: {line}" for line, names in sites.items()]


def _one_per_site(given: Sequence[Given], folders: Sequence[Path], option: str, what: str) -> list[Given]:
    """Repeat the only value of an option for every site; an empty list if there is none."""
    if len(given) not in (0, 1, len(folders)):
        raise InputError(WRONG_NUMBER.format(option=option, what=what, sites=len(folders), given=len(given)))
    return list(given) * (len(folders) if len(given) == 1 else 1)


def _of_diagnoses(counts: Counter[str], classes: Sequence[str] | None, column: str) -> tuple[str, str, Written]:
    """Return the lines of the outcome, the comment above them, and what to print; `column` is that of all sites."""
    several = by_severity(diagnosis for diagnosis in counts if diagnosis != MISSING)
    found = f"diagnoses: {listed(counts)}"
    if classes is not None:
        outside = [diagnosis for diagnosis in several if diagnosis not in classes]
        left = f" In no class, so excluded: {', '.join(outside)}." if outside else ""
        assigned = f"in no class, so excluded: {', '.join(outside)}" if outside else ""
        note = f"Found: {listed(counts)}. Check the classes.{left}"
        return named_classes(classes, counts, column), note, Written(found, "labels", assigned)
    sorted_out = sort_into_two(sorted(several))
    join = " (and join different words for one diagnosis there)" if sorted_out.has_synonyms else ""
    hint = (
        f"For one class per diagnosis, write another file{join}: --classes {quote(','.join(several))} -o classes.yaml"
    )
    written = Written(found, "labels", sorted_out.line, (hint,) if len(several) > 2 else ())
    note = f"Found: {listed(counts)}. {sorted_out.comment}"
    return two_classes(sorted_out.positive, sorted_out.negative, column, sorted_out.open), note, written


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
        controls = [diagnosis for diagnosis in sorted(count_diagnoses(folders, tables)) if is_control(diagnosis)]
    return number(column, values, controls), f"Found: {found}. Check range, unit and missing.", Written(found, "target")


def count_diagnoses(site_folders: Sequence[Path], tables: Sequence[Path] = ()) -> Counter[str]:
    """Count the people with each diagnosis over all sites, from their own tables or the given ones.

    Raises `InputError` if a site cannot be read.
    """
    return sum(_diagnoses_by_site(site_folders, tables, ()), Counter[str]())


def _diagnoses_by_site(
    site_folders: Sequence[Path], tables: Sequence[Path], columns: Sequence[str]
) -> list[Counter[str]]:
    return [
        list_diagnoses(folder, participants=table, column=column or DIAGNOSIS)
        for folder, table, column in zip_longest(site_folders, tables, columns)
    ]


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
    model: str = "",
    labels: Sequence[SiteLabels | None] = (),
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
        model: The lines of the section `model`; empty for those of the default encoder.
        labels: The labels of each site; None where they are the experiment's.

    Raises:
        InputError: If two folders give the same site name.
    """
    names = [_site_name(folder) for folder in folders]
    if repeated := sorted({site for site in names if names.count(site) > 1}):
        raise InputError(f"two folders give the site name {repeated[0]}; rename one of the folders")
    sites = [
        {"name": site, "root": _relative(folder, output)}
        | ({} if table is None else {"participants": _relative(table, output)})
        | ({} if own is None else {"labels": own})
        for site, folder, table, own in zip_longest(names, folders, tables, labels)
    ]
    cores: int = cpu_count()
    workers = 1 if torch.cuda.is_available() else min(cores, len(folders))  # one process keeps a GPU busy
    return TEMPLATE.format(
        name=name,
        seed=seed,
        sites=as_comments(yaml.safe_dump(sites, sort_keys=False, width=10_000, allow_unicode=True)),
        note=note,
        outcome=outcome,
        rounds=rounds,
        min_steps=MIN_STEPS_LINE.format(min_steps) if min_steps else "",
        threads=cores // workers,
        workers=workers,
        run=run,
        model=model or model_lines(encoder_spec(DEFAULT_ENCODER)),
        baselines=BASELINES if len(folders) > 1 else NO_BASELINES,
    )


def _site_name(folder: Path) -> str:
    resolved = folder.resolve()
    return _as_name(resolved.stem if resolved.is_file() else resolved.name) or "site"


def _name_from(output: Path) -> str:
    """Name an experiment after its file, so that two files in a folder do not share a name and a run folder."""
    return _as_name(output.stem)[:64] or RUN_OF


def _as_name(text: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text).strip("-")
