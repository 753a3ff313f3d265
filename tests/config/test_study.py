"""The study file: what it comes to, and what is said of its problems."""

from collections.abc import Sequence
from pathlib import Path

from small_files import problems, write_small

from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study
from fedtune3d.config.study_axes import STAGES, Combination, Draw

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
    cell = study.experiment(linear, Draw(2), ["local"])
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
    assert study.experiment(ncc, Draw(0)).training.rounds == 1
    assert study.experiment(ncc, Draw(0)).aggregation.rule == "ncc"
    assert (study.experiment(resnet, Draw(0)).tuning.method, study.experiment(resnet, Draw(0)).training.rounds) == (
        "full",
        7,
    )


def test_all_cells_of_a_seed_are_tested_on_the_same_people(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **PUBLISHED))
    splits = {study.experiment(one, Draw(0)).splits_sha256() for one in study.possible()}
    assert len(splits) == 1
    assert study.experiment(study.possible()[0], Draw(1)).splits_sha256() not in splits


def test_an_axis_that_is_not_given_is_the_files_own(tmp_path: Path) -> None:
    own = {"tuning": {"method": "lora", "rank": 2}, "aggregation": {"rule": "fedprox", "mu": 0.1}}
    study = Study.from_yaml(write_small(tmp_path, heads=["linear"], **own))
    (cell,) = study.possible()
    experiment = study.experiment(cell, Draw(0))
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
    short = study.experiment(study.crossed()[4], Draw(0))
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


ENCODERS = {
    "model": {"head": "linear"},
    "encoders": ["deepbet", "tiny", {"encoder": "volumes", "weights": "files/model.pth"}],
    "heads": ["linear", "conv_s"],
    "references": ["ncc", "random", "resnet18"],
    "tunings": ["frozen", "lora"],
    "rules": ["fedavg", "median"],
}


def test_encoders_are_compared_before_the_heads_with_their_controls(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **ENCODERS))
    chosen = {"encoder": "tiny", "head": "conv_s", "tuning": "lora", "rule": "median"}

    def choose(parts: Sequence[str], combinations: Sequence[Combination]) -> Combination:
        fitting = [one for one in combinations if not one.is_reference]
        return next(one for one in fitting if all(getattr(one, part).label == chosen[part] for part in parts))

    stages = {stage.name: names(stage.combinations) for stage in study.walk(choose)}
    assert stages == {
        "encoders": [
            "deepbet-linear-frozen-fedavg",
            "deepbet-random",
            "tiny-linear-frozen-fedavg",  # random anyway: no control
            "volumes-linear-frozen-fedavg",
            "volumes-random",
        ],
        "heads": ["tiny-linear-frozen-fedavg", "tiny-conv_s-frozen-fedavg", "tiny-ncc", "resnet18"],
        "tunings": ["tiny-conv_s-frozen-fedavg", "tiny-conv_s-lora-fedavg"],
        "rules": ["tiny-conv_s-lora-fedavg", "tiny-conv_s-lora-median"],
    }


def test_an_encoder_brings_its_weights_and_its_grid(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **ENCODERS))
    trials = {
        one.name.removesuffix("-linear-frozen-fedavg"): study.experiment(one, Draw(0)) for one in study.encoders_stage()
    }
    assert {name: (trial.model.encoder, trial.model.weights) for name, trial in trials.items()} == {
        "deepbet": ("deepbet", "packaged"),
        "deepbet-random": ("deepbet", "random"),
        "tiny": ("tiny", "random"),
        "volumes": ("volumes", tmp_path / "files" / "model.pth"),
        "volumes-random": ("volumes", "random"),
    }
    assert {name: trial.preparation_settings.size for name, trial in trials.items()} == {
        "deepbet": 128,
        "deepbet-random": 128,
        "tiny": 128,
        "volumes": 192,
        "volumes-random": 192,
    }
    assert len({trial.splits_sha256() for trial in trials.values()}) == 1


def test_heads_and_tunings_that_do_not_fit_an_encoder_are_left_out_and_listed(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **ENCODERS))
    assert [line.partition(":")[0] for line in study.left_out] == [
        "deepbet with lora",
        "volumes with conv_s",
        "volumes with lora",
    ]
    crossed = names(Study.from_yaml(write_small(tmp_path, **ENCODERS, design="crossed")).crossed())
    assert len([name for name in crossed if name.startswith("tiny-")]) == 2 * 2 * 2 + 1
    assert [name for name in crossed if name.startswith("volumes-")] == [
        "volumes-linear-frozen-fedavg",
        "volumes-linear-frozen-median",
        "volumes-ncc",
        "volumes-random",
    ]
    assert crossed.count("resnet18") == 1
    (line,) = problems(Study, write_small(tmp_path, **{**ENCODERS, "heads": ["conv_s"]}))
    assert "encoders: no entry of heads fits volumes" in line
    lines = problems(Study, write_small(tmp_path, **{**ENCODERS, "model": {"head": "conv_s"}}))
    assert any("head conv_s needs a map" in line and "(in volumes-conv_s-frozen-fedavg)" in line for line in lines)


def test_every_stage_of_a_crossed_study_has_the_best_of_the_other_parts(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **ENCODERS, design="crossed"))
    stages = {stage.name: names(stage.combinations) for stage in study.walk(lambda _, them: them[-9])}
    best = study.crossed()[-9]
    for name, part in STAGES.items():
        assert best.name in stages[name]
        fixed = [label for label in ("encoder", "head", "tuning", "rule") if label != part]
        shown = [one for one in study.crossed() if one.name in stages[name] and not one.is_reference]
        assert all(getattr(one, label) == getattr(best, label) for one in shown for label in fixed)


def test_a_study_without_encoders_has_the_names_that_it_had(tmp_path: Path) -> None:
    study = Study.from_yaml(write_small(tmp_path, **PUBLISHED))
    assert [stage.name for stage in study.walk(lambda _, them: them[0])] == ["heads", "tunings", "rules"]
    assert study.parts == ("head", "tuning", "rule")
    assert study.left_out == ()


def test_what_an_entry_of_encoders_or_heads_may_not_be(tmp_path: Path) -> None:
    one = write_small(tmp_path, heads=[{"head": "linear", "encoder": "tiny"}])
    assert "list encoders under `encoders`" in problems(Study, one)[0]
    assert "encoders: tiny is used twice" in problems(Study, write_small(tmp_path, encoders=["tiny", "tiny"]))[0]
    assert "unknown name 'tinny', did you mean 'tiny'?" in problems(Study, write_small(tmp_path, encoders=["tinny"]))[0]
    assert (
        "the study's weights are random; leave it out"
        in problems(Study, write_small(tmp_path, encoders=["tiny", "vit_b"], references=["random"]))[0]
    )


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
        study.experiment(combination, Draw(0), ["local"])
        for combination in study.rules_stage(study.variants["heads"][0], study.variants["tunings"][0])
    )
    assert (plain.privacy.epsilon, plain.training.class_weighted, plain.baselines) == (None, True, ("local",))
    assert (noised.privacy.epsilon, noised.training.class_weighted, noised.baselines) == (3.0, False, ())
    assert noised.name == "linear-frozen-private-seed0"
    assert plain.splits_sha256() == noised.splits_sha256()
