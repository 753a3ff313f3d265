"""The study file: what it comes to, and what is said of its problems."""

from pathlib import Path

from small_files import problems, write_small

from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study

PUBLISHED = {
    "seeds": [0, 1, 2],
    "heads": ["linear", "conv_s", "conv_l"],
    "references": ["ncc", "resnet18"],
    "tunings": ["full", "frozen", "lora"],
    "rules": ["simpleavg", "fedavg", "fedce", "rate_my_lora"],
    "baselines": ["local", "centralized"],
}


def names(combinations: list) -> list[str]:
    return [one.name for one in combinations]


def test_the_published_study_in_stages(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **PUBLISHED))
    assert names(study.heads_stage()) == [
        "linear-frozen-fedavg",
        "conv_s-frozen-fedavg",
        "conv_l-frozen-fedavg",
        "ncc",
        "resnet18",
    ]
    conv_l = study.variants["heads"][2]
    assert names(study.tunings_stage(conv_l)) == ["conv_l-full-fedavg", "conv_l-frozen-fedavg", "conv_l-lora-fedavg"]
    lora = study.variants["tunings"][2]
    assert names(study.rules_stage(conv_l, lora)) == [
        f"conv_l-lora-{rule}" for rule in ("simpleavg", "fedavg", "fedce", "rate_my_lora")
    ]
    assert len(study.possible()) == 2 + 3 * 3 * 4


def test_a_cell_is_an_experiment_that_shares_the_cache(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **PUBLISHED, training={"rounds": 7}))
    linear, *_, ncc, resnet = study.heads_stage()
    cell = study.experiment(linear, 2, ["local"])
    assert isinstance(cell, Experiment)
    assert (cell.name, cell.seed, cell.model.head, cell.baselines) == (
        "linear-frozen-fedavg-seed2",
        2,
        "linear",
        ("local",),
    )
    assert cell.output == tmp_path / "runs" / "trials" / cell.name
    assert cell.cache == tmp_path / "cache"
    assert cell.training.rounds == 7
    assert study.experiment(ncc, 0).training.rounds == 1
    assert study.experiment(ncc, 0).aggregation.rule == "ncc"
    assert (study.experiment(resnet, 0).tuning.method, study.experiment(resnet, 0).training.rounds) == ("full", 7)


def test_all_cells_of_a_seed_are_tested_on_the_same_people(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **PUBLISHED))
    splits = {study.experiment(one, 0).splits_sha256() for one in study.possible()}
    assert len(splits) == 1
    assert study.experiment(study.possible()[0], 1).splits_sha256() not in splits


def test_an_axis_that_is_not_given_is_the_files_own(tmp_path: Path) -> None:
    own = {"tuning": {"method": "lora", "rank": 2}, "aggregation": {"rule": "fedprox", "mu": 0.1}}
    study = Study.from_yaml(write_small(tmp_path, heads=["linear"], **own))
    (cell,) = study.possible()
    experiment = study.experiment(cell, 0)
    assert experiment.tuning.rank == 2  # type: ignore[union-attr]
    assert experiment.aggregation.model_extra == {"mu": 0.1}


def test_entries_with_options_training_and_labels(tmp_path: Path) -> None:
    path = write_small(
        tmp_path,
        tunings=[
            "frozen",
            {"method": "lora", "rank": 8},
            {"method": "full", "training": {"rounds": 2}, "label": "short"},
        ],
        rules=["fedavg", {"rule": "fedprox", "mu": 0.01}],
        design="crossed",
    )
    study = Study.from_yaml(path)
    assert names(study.crossed()) == [
        f"conv_s-{tuning}-{rule}"
        for tuning in ("frozen", "lora-rank8", "short")
        for rule in ("fedavg", "fedprox-mu0_01")
    ]
    short = study.experiment(study.crossed()[4], 0)
    assert (short.tuning.method, short.training.rounds, short.training.batch_size) == ("full", 2, 8)


def test_every_problem_is_found_before_anything_runs(tmp_path: Path) -> None:
    assert "seedss: unknown key, did you mean 'seeds'?" in problems(Study, write_small(tmp_path, seedss=[1]))[0]
    assert (
        "unknown name 'conv_x', did you mean 'conv_s'?" in problems(Study, write_small(tmp_path, heads=["conv_x"]))[0]
    )
    lines = problems(Study, write_small(tmp_path, tunings=["frozen", {"method": "lora", "rnak": 2}]))
    assert len(lines) == 1
    assert "tuning.rnak: unknown key, did you mean 'rank'?" in lines[0]
    assert "conv_s-lora-rnak2-fedavg" in lines[0]
    assert "heads: linear is used twice" in problems(Study, write_small(tmp_path, heads=["linear", "linear"]))[0]
    assert "an entry needs `rule`" in problems(Study, write_small(tmp_path, rules=[{"name": "fedavg"}]))[0]
    assert "expected ncc or resnet18 or random" in problems(Study, write_small(tmp_path, references=["ncx"]))[0]
    assert "write `seeds: [0, 1, 2]`" in problems(Study, write_small(tmp_path, seed=3))[0]
    assert "seeds must differ" in problems(Study, write_small(tmp_path, seeds=[1, 1]))[0]
    assert "requires plain SGD" in problems(Study, write_small(tmp_path, rules=["scaffold"]))[0]


def test_an_entry_of_heads_may_bring_its_encoder_and_weights(tmp_path: Path) -> None:
    heads = [
        {"head": "linear", "label": "deepbet"},
        {"head": "linear", "encoder": "tiny", "label": "tiny"},
        {"head": "linear", "encoder": "volumes", "weights": "files/model.pth", "label": "volumes"},
    ]
    references = ["random", {"reference": "random", "model": {"encoder": "volumes"}, "label": "volumes-random"}]
    model = {"encoder": "deepbet", "head": "linear"}
    study = Study.from_yaml(write_small(tmp_path, model=model, heads=heads, references=references))
    models = {one.head.label: study.experiment(one, 0).model for one in study.heads_stage()}
    assert {label: (section.encoder, section.weights) for label, section in models.items()} == {
        "deepbet": ("deepbet", "packaged"),
        "tiny": ("tiny", "random"),
        "volumes": ("volumes", tmp_path / "files" / "model.pth"),
        "random": ("deepbet", "random"),
        "volumes-random": ("volumes", "random"),
    }
    sizes = {one.head.label: study.experiment(one, 0).preparation_settings.size for one in study.heads_stage()}
    assert (sizes["deepbet"], sizes["volumes"]) == (128, 192)


def test_random_weights_are_no_reference_of_random_weights(tmp_path: Path) -> None:
    assert (
        "the study's weights are random; leave it out"
        in problems(Study, write_small(tmp_path, references=["random"]))[0]
    )


def test_an_entry_may_bring_privacy_to_compare_with_and_without(tmp_path: Path) -> None:
    """Baselines are left out of trials under differential privacy, which excludes them."""
    private = {"rule": "fedavg", "label": "private", "privacy": {"epsilon": 3.0}, "training": {"class_weighted": False}}
    study = Study.from_yaml(write_small(tmp_path, heads=["linear"], rules=["fedavg", private], baselines=["local"]))
    plain, noised = (
        study.experiment(combination, 0, ["local"])
        for combination in study.rules_stage(study.variants["heads"][0], study.variants["tunings"][0])
    )
    assert (plain.privacy.epsilon, plain.training.class_weighted, plain.baselines) == (None, True, ("local",))
    assert (noised.privacy.epsilon, noised.training.class_weighted, noised.baselines) == (3.0, False, ())
    assert noised.name == "linear-frozen-private-seed0"
    assert plain.splits_sha256() == noised.splits_sha256()
