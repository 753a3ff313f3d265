import json
from pathlib import Path

import pytest

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.ledgers import append_line
from fedtune3d.evaluation.outcome import BINARY, NumberOutcome
from fedtune3d.federation.ledger import LedgerLine, SiteEntry, Validation, append_ledger_line, read_ledger
from fedtune3d.training.scores import Scores

SCORES = Scores(auc=1 / 3, balanced_accuracy=None, loss=0.7, examples=8, why=None)
ENTRY = SiteEntry(participated=True, weight=1, signals={"norm": 2, "cosine": 1e-300}, received=SCORES, loss=0.5)
LINE = LedgerLine(
    round=1,
    kind="train",
    seconds=4.0,
    sites={"A": ENTRY, "B": SiteEntry(bytes_down=200, fault="no answer")},
    validation=Validation(state_round=0, mean_auc=1 / 3, pooled_loss=None),
    rule="fedavg",
    faults_before=({"B": "no answer"},),
)


def test_a_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    assert read_ledger(path) == []
    assert [append_ledger_line(path, LINE), append_ledger_line(path, LINE)] == [1, 2]
    assert read_ledger(path) == [LINE, LINE]


def test_a_line_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    append_ledger_line(path, LINE)
    line = json.loads(path.read_text())
    del line["line"], line["chain"], line["sites"]["A"]["participated"], line["sites"]["A"]["bytes_up"]
    line["sites"]["A"]["took_part"] = True
    append_line(path, line)
    with pytest.raises(DamagedFileError, match=r"rounds\.jsonl: .*line 2 .*took_part") as raised:
        read_ledger(path)
    assert "\n" not in str(raised.value)


def test_states_are_ranked_by_auc_then_by_loss() -> None:
    ordered = [
        Validation(1, None, None),
        Validation(2, None, 0.4),
        Validation(3, 0.5, 0.9),
        Validation(4, 0.5, 0.8),
        Validation(5, 0.6, None),
    ]
    shuffled = [ordered[index] for index in (3, 0, 4, 2, 1)]
    assert sorted(shuffled, key=lambda validation: validation.rank) == ordered


def test_models_are_compared_by_auc_or_by_the_error_in_its_unit() -> None:
    validation = Validation(3, 0.8, 0.1)
    assert validation.score(BINARY) == 0.8
    assert validation.score(NumberOutcome("age", 40, 100, "years", "error")) == pytest.approx(6.0)
    assert Validation(3, None, None).score(NumberOutcome("age", 40, 100, "years", "error")) is None
