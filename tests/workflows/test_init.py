"""An experiment file for the user's own sites."""

import os
from pathlib import Path

import pytest
import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.cohorts.reading import read_site
from fedtune3d.config.class_names import names_of
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.workflows.init import count_diagnoses, fill_template, write_experiment
from fedtune3d.workflows.sites import make_sites

NO_COLUMNS = (
    "north-clinic, south: no columns age, sex; without them: no subgroups by age and no test of age as a predictor of "
    "the label, no subgroups by sex"
)


@pytest.fixture
def sites(tmp_path: Path) -> list[Path]:
    """Two sites: three people with AD and one healthy control; one with MCI and one CN."""
    diagnoses = {"north clinic": ["AD", "AD", "AD", "hc"], "south": ["MCI", "CN"]}
    for name, people in diagnoses.items():
        rows = ["participant_id\tdiagnosis"]
        for number, diagnosis in enumerate(people):
            rows.append(f"sub-{number}\t{diagnosis}")
            anat = tmp_path / name / f"sub-{number}" / "anat"
            anat.mkdir(parents=True)
            (anat / f"sub-{number}_T1w.nii.gz").touch()
        (tmp_path / name / "participants.tsv").write_text("\n".join(rows) + "\n")
    return [tmp_path / name for name in diagnoses]


def test_the_file_is_a_valid_experiment_with_the_diagnoses_sorted(sites: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "elsewhere" / "experiment.yaml"
    write_experiment(sites, output)
    values = yaml.safe_load(output.read_text())
    assert values["labels"] == {"positive": ["AD"], "negative": ["CN", "hc"]}
    assert values["sites"][0] == {"name": "north-clinic", "root": os.path.join("..", "north clinic")}
    assert (
        "# Found: AD (3), CN (1), MCI (1), hc (1). Check their assignment. In neither list, for you to assign: MCI.\n"
        in output.read_text()
    )
    experiment = Experiment.from_yaml(output)
    assert [site.name for site in experiment.sites] == ["north-clinic", "south"]
    assert experiment.sites[0].root.resolve() == sites[0].resolve()
    assert experiment.training.min_steps == 8


@pytest.mark.parametrize(
    ("cores", "gpu", "workers", "threads"), [(1, False, 1, 1), (2, False, 2, 1), (9, False, 2, 4), (9, True, 1, 9)]
)
def test_every_core_is_busy(
    sites: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    gpu: bool,
    workers: int,
    threads: int,
) -> None:
    monkeypatch.setattr("fedtune3d.workflows.init.cpu_count", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    write_experiment(sites, tmp_path / "experiment.yaml")
    experiment = Experiment.from_yaml(tmp_path / "experiment.yaml")
    assert (experiment.workers, experiment.threads) == (workers, threads)


def test_a_file_that_exists_is_kept(sites: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "experiment.yaml"
    output.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_experiment(sites, output)
    assert output.read_text() == "mine"


def test_diagnoses_are_counted_over_all_sites(sites: list[Path]) -> None:
    assert count_diagnoses(sites) == {"AD": 3, "CN": 1, "MCI": 1, "hc": 1}


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "clinic", tmp_path / "b" / "clinic"]
    with pytest.raises(InputError, match="two folders give the site name clinic"):
        fill_template(tmp_path / "x.yaml", "x", 0, folders, "", "", rounds=1)


def test_a_table_elsewhere_is_read_and_written_down(sites: list[Path], tmp_path: Path) -> None:
    table = (sites[0] / "participants.tsv").rename(tmp_path / "all.tsv")
    output = tmp_path / "experiment.yaml"
    with pytest.raises(InputError, match=r"north clinic/participants.tsv: expected a table .* or with --participants"):
        write_experiment(sites, output)
    write_experiment(sites, output, [table])
    assert [site.participants for site in Experiment.from_yaml(output).sites] == [tmp_path / "all.tsv"] * 2
    with pytest.raises(InputError, match="expected one table for all sites or one for each of the 2, got 3"):
        write_experiment(sites, tmp_path / "other.yaml", [table] * 3)


def test_each_named_diagnosis_is_a_class(sites: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "experiment.yaml"
    written = write_experiment(sites, output, classes=["CN", "MCI", "AD"])
    assert (written.found, written.section) == ("diagnoses: AD (3), CN (1), MCI (1), hc (1)", "labels")
    assert Experiment.from_yaml(output).outcome == ClassOutcome(("CN", "MCI", "AD"))
    assert "# Found: AD (3), CN (1), MCI (1), hc (1). Check the classes." in output.read_text()


def test_three_diagnoses_are_a_hint_to_classes_in_order_of_severity(sites: list[Path], tmp_path: Path) -> None:
    hint, _ = write_experiment(sites, tmp_path / "two.yaml").hints
    assert hint.endswith("--classes CN,hc,MCI,AD -o classes.yaml")
    assert write_experiment(sites, tmp_path / "three.yaml", classes=["CN", "AD"]).hints == (NO_COLUMNS,)
    (sites[0] / "participants.tsv").write_text("participant_id\tdiagnosis\nsub-0\tAD\nsub-1\tn/a\n")
    assert write_experiment([sites[0], sites[1]], tmp_path / "left.yaml").assigned == (
        "negative: CN; positive: AD; in neither, for you to assign: MCI"
    )


def test_diagnoses_outside_the_named_classes_are_said(sites: list[Path], tmp_path: Path) -> None:
    written = write_experiment(sites, tmp_path / "two.yaml", classes=["CN", "AD"])
    assert written.assigned == "in no class, so excluded: hc, MCI"
    assert "Check the classes. In no class, so excluded: hc, MCI.\n" in (tmp_path / "two.yaml").read_text()
    assert write_experiment(sites, tmp_path / "all.yaml", classes=["CN", "hc", "MCI", "AD"]).assigned == ""


def test_words_that_may_mean_the_same_are_to_be_joined(sites: list[Path], tmp_path: Path) -> None:
    hint, _ = write_experiment(sites, tmp_path / "two.yaml").hints
    assert "write another file (and join different words for one diagnosis there): " in hint
    (sites[0] / "participants.tsv").write_text("participant_id\tdiagnosis\nsub-0\tAD\n")
    hint, _ = write_experiment(sites, tmp_path / "other.yaml").hints
    assert "join" not in hint


def _rename_column(site: Path, name: str) -> None:
    table = site / "participants.tsv"
    table.write_text(table.read_text().replace("diagnosis", name))


def test_diagnoses_in_other_columns_are_expressions_of_each_site(sites: list[Path], tmp_path: Path) -> None:
    _rename_column(sites[0], "clinical group")
    _rename_column(sites[1], "dx")
    with pytest.raises(InputError, match=r"expected a column diagnosis, .* with --diagnosis of `fedtune3d init`"):
        write_experiment(sites, tmp_path / "none.yaml")
    output = tmp_path / "experiment.yaml"
    written = write_experiment(sites, output, diagnosis=["clinical group", "dx"])
    assert written.found == "diagnoses: AD (3), CN (1), MCI (1), hc (1)"
    experiment = Experiment.from_yaml(output)
    north, south = (site.labels for site in experiment.sites)
    assert (north.positive, north.negative) == ('"clinical group" == AD', '"clinical group" == hc')
    assert (south.positive, south.negative) == ("dx == AD", "dx == CN")
    assert names_of(experiment).in_order == ("CN/hc", "AD")
    assert "# A site's own labels, above, take the place of these lists there" in output.read_text()
    cohort = read_site(sites[0], "north-clinic", experiment.wanted_of(experiment.sites[0]))
    assert [record.label for record in cohort.records] == [1, 1, 1, 0]


def test_a_site_whose_column_is_called_diagnosis_has_the_labels_of_the_experiment(
    sites: list[Path], tmp_path: Path
) -> None:
    _rename_column(sites[1], "dx")
    output = tmp_path / "classes.yaml"
    write_experiment(sites, output, classes=["CN", "MCI", "AD"], diagnosis=["diagnosis", "dx"])
    north, south = Experiment.from_yaml(output).sites
    assert north.labels is None
    assert south.labels.classes == {"CN": "dx == CN", "MCI": "dx == MCI", "AD": "dx == AD"}


@pytest.mark.parametrize("given", [["clinical group"], ["clinical group", "clinical group"]])
def test_one_column_at_all_sites_is_written_in_one_place(sites: list[Path], tmp_path: Path, given: list[str]) -> None:
    for site in sites:
        _rename_column(site, "clinical group")
    output, classes = tmp_path / "experiment.yaml", tmp_path / "classes.yaml"
    write_experiment(sites, output, diagnosis=given)
    experiment = Experiment.from_yaml(output)
    assert [site.labels for site in experiment.sites] == [None, None]
    assert (experiment.labels.positive, experiment.labels.negative) == (
        '"clinical group" == AD',
        '"clinical group" == CN or "clinical group" == hc',
    )
    assert names_of(experiment).in_order == ("CN/hc", "AD")
    assert "own labels" not in output.read_text()
    assert "Join several expressions by or.\n" in output.read_text()
    write_experiment(sites, classes, classes=["CN", "MCI", "AD"], diagnosis=given)
    experiment = Experiment.from_yaml(classes)
    assert experiment.labels.classes["MCI"] == '"clinical group" == MCI'
    assert [site.labels for site in experiment.sites] == [None, None]


def test_a_change_of_the_experiments_lists_alone_is_refused(sites: list[Path], tmp_path: Path) -> None:
    _rename_column(sites[1], "dx")
    output = tmp_path / "experiment.yaml"
    write_experiment(sites, output, diagnosis=["diagnosis", "dx"])
    output.write_text(output.read_text().replace("negative: [CN, hc]", "negative: [CN, hc, MCI]"))
    experiment = Experiment.from_yaml(output)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(InputError, match=r"the column dx has MCI \(1\), which labels.negative includes") as refused:
        [site.cohort for site in make_sites(experiment, folder, Silent())]
    assert "negative: 'dx == CN or dx == MCI'" in str(refused.value)


def test_columns_of_diagnoses_are_one_for_all_sites_or_one_per_site(sites: list[Path], tmp_path: Path) -> None:
    for site in sites:
        _rename_column(site, "dx")
    write_experiment(sites, tmp_path / "one.yaml", diagnosis=["dx"])
    assert Experiment.from_yaml(tmp_path / "one.yaml").labels is not None
    with pytest.raises(
        InputError, match="--diagnosis: expected one column for all sites or one for each of the 2, got 3"
    ):
        write_experiment(sites, tmp_path / "three.yaml", diagnosis=["dx"] * 3)
    with pytest.raises(InputError, match="--diagnosis and --target are both given"):
        write_experiment(sites, tmp_path / "number.yaml", target="age", diagnosis=["dx"])


def _write_diagnoses(site: Path, column: str, words: list[str]) -> None:
    rows = [f"sub-{number}\t{word}" for number, word in enumerate(words)]
    (site / "participants.tsv").write_text("\n".join([f"participant_id\t{column}", *rows]) + "\n")


def test_words_that_say_nothing_are_left_to_fill_in(sites: list[Path], tmp_path: Path) -> None:
    for site in sites:
        _write_diagnoses(site, "demented", ["0", "1"])
    output = tmp_path / "experiment.yaml"
    assert not write_experiment(sites, output, diagnosis=["demented"]).is_complete
    assert "  positive: # fill in, such as demented == 1\n  negative: # fill in, such as demented == 0\n" in (
        output.read_text()
    )
    with pytest.raises(InputError, match=r"labels.positive: expected a list .*, got nothing; fill it in"):
        Experiment.from_yaml(output)
    output.write_text(output.read_text().replace("# fill in, such as ", ""))
    assert Experiment.from_yaml(output).labels.positive == "demented == 1"
    for site in sites:
        _rename_column(site, "x")
        _write_diagnoses(site, "diagnosis", ["0", "1"])
    write_experiment(sites, tmp_path / "lists.yaml")
    assert "  positive: # fill in, such as ['1']\n" in (tmp_path / "lists.yaml").read_text()


def test_a_site_of_unknown_words_does_not_get_those_of_another(sites: list[Path], tmp_path: Path) -> None:
    _rename_column(sites[0], "dx")
    _write_diagnoses(sites[1], "it's demented", ["0", "1", "n/a"])
    output = tmp_path / "experiment.yaml"
    written = write_experiment(sites, output, diagnosis=["dx", "it's demented"])
    assert not written.is_complete
    text = output.read_text()
    assert "    positive: # fill in, such as '\"it''s demented\" == 1'\n    negative: # fill in, such as" in text
    output.write_text(text.replace("# fill in, such as ", ""))
    north, south = Experiment.from_yaml(output).sites
    assert (north.labels.positive, south.labels.positive) == ("dx == AD", '"it\'s demented" == 1')


def test_a_site_that_has_one_of_the_classes_keeps_the_others_words(sites: list[Path], tmp_path: Path) -> None:
    _rename_column(sites[1], "dx")
    output = tmp_path / "experiment.yaml"
    assert write_experiment(sites, output, diagnosis=["diagnosis", "dx"]).is_complete
    assert Experiment.from_yaml(output).sites[1].labels.positive == "dx == AD"


def test_columns_of_other_names_are_said_once_per_kind_of_table(sites: list[Path], tmp_path: Path) -> None:
    (sites[0] / "participants.tsv").write_text("participant_id\tdiagnosis\tage\tGender\nsub-0\tAD\t70\tF\n")
    *_, north, south = write_experiment(sites, tmp_path / "two.yaml").hints
    assert north == "north-clinic: no column sex (found Gender): rename it; without it: no subgroups by sex"
    assert south.startswith("south: no columns age, sex; without them: ")


def test_one_site_has_nothing_to_compare_with(sites: list[Path], tmp_path: Path) -> None:
    _, hint = write_experiment(sites[:1], tmp_path / "one.yaml").hints
    assert hint.startswith("One site: there is nothing to federate.")
    assert Experiment.from_yaml(tmp_path / "one.yaml").baselines == ()
    assert write_experiment(sites, tmp_path / "both.yaml", classes=["CN", "AD"]).hints == (NO_COLUMNS,)
    assert Experiment.from_yaml(tmp_path / "both.yaml").baselines == ("local", "centralized")


def test_an_encoder_is_written_with_its_head_and_weights(sites: list[Path], tmp_path: Path) -> None:
    written = {}
    for encoder in ("vit_b", "deepbet", "volumes", "tiny", "brainiac"):
        write_experiment(sites, tmp_path / f"{encoder}.yaml", encoder=encoder)
        model = Experiment.from_yaml(tmp_path / f"{encoder}.yaml").model
        written[encoder] = (model.encoder, model.head, model.weights)
    assert written == {
        "vit_b": ("vit_b", "conv_s", "random"),
        "deepbet": ("deepbet", "linear", "packaged"),
        "volumes": ("volumes", "linear", "random"),
        "tiny": ("tiny", "conv_s", "random"),
        "brainiac": ("brainiac", "linear", "random"),
    }
    assert "# weights: sam_med3d_turbo.pth (docs/weights.md). Pre-trained" in (tmp_path / "vit_b.yaml").read_text()
    assert "and accept_licence: true, once you have read" in (tmp_path / "brainiac.yaml").read_text()
    with pytest.raises(InputError, match="unknown encoder 'deepbett', did you mean 'deepbet'"):
        write_experiment(sites, tmp_path / "none.yaml", encoder="deepbett")
    assert not (tmp_path / "none.yaml").exists()


def test_a_number_is_the_target(sites: list[Path], tmp_path: Path) -> None:
    (sites[0] / "participants.tsv").write_text("participant_id\tage\nsub-0\t63,5\nsub-1\tn/a\nsub-2\t71\nsub-3\t58\n")
    (sites[1] / "participants.tsv").write_text("participant_id\tage\nsub-0\t88\nsub-1\t77\n")
    output = tmp_path / "experiment.yaml"
    written = write_experiment(sites, output, target="age")
    assert (written.found, written.section) == ("age: 5 of 6 rows have a number", "target")
    assert Experiment.from_yaml(output).outcome == NumberOutcome("age", 50, 90, "years", "leave_out")
    assert "1 of 6 rows have no number: their scans are excluded and counted" in output.read_text()
    assert "# include: diagnosis == CN\n" in output.read_text()


def test_the_healthy_can_be_included_alone_by_removing_a_sign(sites: list[Path], tmp_path: Path) -> None:
    for site, rows in zip(sites, (["AD\t63", "healthy control\t71"], ["CN\t66", "MCI\t70"]), strict=True):
        people = [f"sub-{number}\t{row}" for number, row in enumerate(rows)]
        (site / "participants.tsv").write_text("\n".join(["participant_id\tdiagnosis\tage", *people]) + "\n")
    output = tmp_path / "age.yaml"
    write_experiment(sites, output, target="age")
    assert Experiment.from_yaml(output).include is None
    output.write_text(output.read_text().replace("# include:", "include:"))
    assert Experiment.from_yaml(output).include == "diagnosis == CN"


def test_two_files_in_a_folder_share_neither_name_nor_results(sites: list[Path], tmp_path: Path) -> None:
    written = []
    for name in ("experiment.yaml", "brain age.yaml"):
        write_experiment(sites, tmp_path / name)
        written.append(Experiment.from_yaml(tmp_path / name))
    assert [experiment.name for experiment in written] == ["experiment", "brain-age"]
    assert [experiment.output.name for experiment in written] == ["run", "run-brain-age"]


def test_a_change_of_the_encoder_alone_brings_its_weights(sites: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "experiment.yaml"
    write_experiment(sites, output)
    assert Experiment.from_yaml(output).model.weights == "random"
    output.write_text(output.read_text().replace("encoder: vit_b", "encoder: deepbet"))
    assert Experiment.from_yaml(output).model.weights == "packaged"


def test_what_cannot_be_predicted_leaves_no_file(sites: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "experiment.yaml"
    for options, message in (
        ({"classes": ["CN", "SCD"]}, r"nobody has the diagnosis SCD; the tables have AD \(3\), CN \(1\)"),
        ({"classes": []}, "--classes: expected 2 to 20 classes"),
        ({"target": "age"}, "expected a column age, found the columns participant_id, diagnosis"),
        ({"target": "diagnosis"}, "expected numbers in the column diagnosis, got 'AD' for sub-0"),
        ({"target": "age", "classes": ["CN", "AD"]}, "--classes and --target are both given"),
    ):
        with pytest.raises(InputError, match=message):
            write_experiment(sites, output, **options)
    assert not output.exists()


def test_a_table_with_commas_is_named(sites: list[Path], tmp_path: Path) -> None:
    (sites[0] / "participants.tsv").rename(sites[0] / "participants.csv")
    with pytest.raises(InputError, match=r"participants\.csv: expected participants\.tsv, separated by tabs"):
        write_experiment(sites, tmp_path / "experiment.yaml")
