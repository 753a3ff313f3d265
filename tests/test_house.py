"""The shape of the package and of its tests: rooms, sizes, imports; which module is tested where; what tests check."""

import ast
import re
from collections import Counter
from collections.abc import Collection
from functools import cache
from pathlib import Path

import grimp
import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "src" / "fedtune3d"
ROOMS = {
    *("cli", "workflows", "report", "federation", "config", "training"),
    *("simulation", "preparation", "cohorts", "aggregation", "models", "evaluation", "_utils"),
}
LOOSE = {"__init__.py", "__main__.py", "testing.py", "py.typed"}
# These must shrink: the limits are 350 lines a module and 60 lines a function.
LONG_MODULES = {"federation/site/site.py": 390}
LONG_FUNCTIONS: dict[str, int] = {}
# Packages that list the files beside them, and re-export the function that does.
CATALOGUES = {
    *("fedtune3d.aggregation", "fedtune3d.cohorts.formats"),
    *("fedtune3d.models.encoders", "fedtune3d.models.heads"),
}
# Types such as dict[str, Any], aliases counted where they are used. Lower it with every one that goes.
OPEN_MAPPINGS = 10
# Of functions whose call is a check.
CHECKERS = {
    *("raises", "warns", "fail", "check", "check_rule", "check_head", "check_encoder"),
    *("wait_until", "until", "wait_while_running"),
    *("assert_close", "assert_allclose", "assert_array_equal", "assert_array_less", "assert_uniform"),
}
# Only a registry, or a process that a test starts, imports these.
NOT_IMPORTED = {
    *("federation/flower/client_app.py", "federation/flower/server_app.py"),
    *("workflows/flower_app/fedtune3d_app.py", "workflows/serve.py", "cli/site.py", "models/heads/_blocks.py"),
}
# A module without a test module of its own → the test that covers it, as part of something or next to its like.
TESTED_ELSEWHERE = {
    "_utils/folders/cross_validation.py": "_utils/test_folders.py",
    "_utils/folders/deployment.py": "_utils/test_folders.py",
    "_utils/folders/reported.py": "_utils/test_folders.py",
    "_utils/folders/masking.py": "_utils/test_folders.py",
    "_utils/folders/simulation.py": "_utils/test_folders.py",
    "_utils/folders/study.py": "_utils/test_folders.py",
    "_utils/json_values.py": "_utils/test_typed_json.py",
    "_utils/version.py": "_utils/test_run_config.py",
    "aggregation/adaptive.py": "aggregation/test_fed_adam.py",
    "cli/plan_messages.py": "workflows/test_plan.py",
    "cli/plan_tables.py": "workflows/test_plan.py",
    "cli/server.py": "federation/flower/test_server_check.py",
    "cli/shared.py": "cli/test_cache.py",
    "cli/site.py": "federation/flower/test_deployment.py",
    "cli/weights.py": "models/test_releases.py",
    "config/aggregation.py": "config/test_experiment.py",
    "config/model.py": "config/test_own_encoder.py",
    "config/participation.py": "federation/test_participation.py",
    "config/encoder_fit.py": "config/test_study.py",
    "config/handover.py": "workflows/test_own_encoder.py",
    "config/splits.py": "config/test_experiment.py",
    "config/study_axes.py": "config/test_study.py",
    "cohorts/records.py": "cohorts/test_flow.py",
    "federation/site/outcome_summary.py": "workflows/test_outcomes.py",
    "report/card_outcome.py": "workflows/test_outcomes.py",
    "report/figures/outcome.py": "workflows/test_outcomes.py",
    "report/figures/roc_axes.py": "report/figures/test_roc.py",
    "report/first_outcome.py": "workflows/test_outcomes.py",
    "training/replay.py": "training/test_on_gpu.py",
    "workflows/scan_predictions.py": "workflows/test_predict.py",
    "config/study_results.py": "workflows/test_study.py",
    "evaluation/multiclass/metrics.py": "evaluation/multiclass/test_combination.py",
    "evaluation/regression/line.py": "evaluation/regression/test_measures.py",
    "evaluation/regression/metrics.py": "evaluation/regression/test_combination.py",
    "evaluation/same_scans.py": "evaluation/test_paired.py",
    "evaluation/sample.py": "evaluation/test_calibration.py",
    "federation/answer_checks.py": "federation/test_checked_federation.py",
    "federation/flower/certificates.py": "federation/flower/test_folders.py",
    "federation/flower/reachability.py": "federation/flower/test_folders.py",
    "federation/flower/server_app.py": "federation/flower/test_deployment.py",
    "federation/flower/server_folder.py": "federation/flower/test_folders.py",
    "federation/flower/site_check.py": "federation/flower/test_folders.py",
    "federation/flower/site_folder.py": "federation/flower/test_folders.py",
    "federation/ledger_entries.py": "federation/test_secure_round.py",
    "federation/privacy/declarations.py": "federation/tasks/test_registry.py",
    "federation/privacy/limits.py": "federation/privacy/test_gate.py",
    "federation/privacy/minimums.py": "federation/flower/test_curious_server.py",
    "federation/privacy/refusal.py": "federation/privacy/test_gate.py",
    "federation/privacy/screen.py": "workflows/test_withdraw.py",
    "federation/process_model.py": "federation/test_heads_and_tunings.py",
    "federation/round_settings.py": "federation/test_rounds.py",
    "federation/site/audit.py": "federation/test_leak_audit.py",
    "federation/site/costs.py": "workflows/test_plan.py",
    "federation/site/data.py": "federation/flower/test_site_host.py",
    "federation/site/pooled_site.py": "workflows/test_run.py",
    "federation/site/site.py": "federation/flower/test_site_host.py",
    "federation/tasks/assign_splits.py": "federation/test_heads_and_tunings.py",
    "federation/tasks/confirm_survivors.py": "federation/test_secure_round.py",
    "federation/tasks/count_scans.py": "federation/flower/test_site_host.py",
    "federation/tasks/describe_features.py": "federation/test_heads_and_tunings.py",
    "federation/tasks/describe_people.py": "federation/test_leak_audit.py",
    "federation/tasks/fingerprint_scans.py": "federation/test_leak_audit.py",
    "federation/tasks/kind.py": "federation/tasks/test_registry.py",
    "federation/tasks/map_saliency.py": "federation/test_mean_maps.py",
    "federation/tasks/mask_update.py": "federation/test_secure_round.py",
    "federation/tasks/profile_intensities.py": "federation/test_leak_audit.py",
    "federation/tasks/reveal_shares.py": "federation/test_secure_round.py",
    "federation/tasks/score.py": "federation/test_rounds.py",
    "federation/tasks/share_secrets.py": "federation/test_secure_round.py",
    "federation/tasks/train.py": "federation/test_rounds.py",
    "federation/workers/pool.py": "federation/workers/test_worker_federation.py",
    "federation/workers/process.py": "federation/workers/test_worker_federation.py",
    "training/cache_entries.py": "training/test_features.py",
    "models/encoders/networks/deepbet_scale.py": "models/encoders/test_deepbet.py",
    "models/assembly.py": "training/test_local.py",
    "models/encoder_checks.py": "models/encoders/test_contract.py",
    "cli/weights_table.py": "models/test_releases.py",
    "models/encoders/networks/mesh_net.py": "models/encoders/test_meshnet.py",
    "models/encoders/networks/mesh_net_encoder.py": "models/encoders/test_meshnet.py",
    "models/encoders/volumes.py": "models/encoders/test_meshnet.py",
    "models/encoders/networks/residual_encoder.py": "models/encoders/test_openmind_resenc.py",
    "models/encoders/networks/link_net.py": "models/encoders/test_deepbet.py",
    "models/packaged_weights.py": "models/encoders/test_deepbet.py",
    "models/encoders/_registry.py": "models/encoders/test_contract.py",
    "models/encoders/tiny.py": "models/encoders/test_contract.py",
    "models/encoders/vit_b.py": "models/encoders/test_contract.py",
    "models/heads/_blocks.py": "models/heads/test_heads.py",
    "models/heads/_registry.py": "models/heads/test_heads.py",
    "models/heads/conv_l.py": "models/heads/test_heads.py",
    "models/heads/conv_s.py": "models/heads/test_heads.py",
    "models/heads/linear.py": "models/heads/test_heads.py",
    "models/normalisation.py": "federation/test_soak.py",
    "models/tuning/apply.py": "models/tuning/test_contract.py",
    "models/tuning/frozen.py": "models/tuning/test_contract.py",
    "models/tuning/full.py": "models/tuning/test_contract.py",
    "models/tuning/fused_qkv.py": "models/tuning/test_lora.py",
    "models/tuning/residuals.py": "models/tuning/test_adapters.py",
    "models/tuning/trainable.py": "models/tuning/test_contract.py",
    "preparation/arrays.py": "preparation/test_intensity.py",
    "preparation/grid.py": "preparation/test_prepare_scan.py",
    "preparation/itk.py": "preparation/test_scan_space.py",
    "preparation/prepared_scan.py": "preparation/test_prepare_scan.py",
    "preparation/profiles.py": "federation/test_leak_audit.py",
    "preparation/registration.py": "preparation/test_scan_space.py",
    "preparation/settings.py": "preparation/test_prepare_scan.py",
    "preparation/template.py": "preparation/test_template_space.py",
    "report/for_paper.py": "report/test_methods.py",
    "report/methods_statistics.py": "report/test_methods.py",
    "report/methods_training.py": "report/test_methods.py",
    "report/tripod_items.py": "report/test_tripod.py",
    "report/tripod_methods.py": "report/test_tripod.py",
    "report/tripod_results.py": "report/test_tripod.py",
    "report/figures/auc_rows.py": "report/figures/test_study_stage.py",
    "report/figures/calibration.py": "report/test_page.py",
    "report/figures/class_marks.py": "report/figures/test_class_auc.py",
    "report/figures/intensity_profiles.py": "report/test_page.py",
    "report/figures/saliency.py": "report/test_saliency.py",
    "report/figures/study_weights.py": "report/test_study_page.py",
    "report/logs/mlflow.py": "report/logs/test_run_logs.py",
    "report/logs/tensorboard.py": "report/logs/test_run_logs.py",
    "report/model_card.py": "workflows/test_export.py",
    "report/page_figures.py": "report/test_page.py",
    "report/run_few.py": "report/test_page.py",
    "report/run_parts.py": "report/test_page.py",
    "report/site_contents.py": "report/test_site_page.py",
    "report/study_captions.py": "report/test_study_page.py",
    "report/study_comparison.py": "report/test_study_page.py",
    "report/study_contents.py": "report/test_study_page.py",
    "report/study_first_screen.py": "report/test_study_numbers.py",
    "report/study_ranking.py": "report/test_study_numbers.py",
    "report/study_tables.py": "report/test_study_page.py",
    "simulation/anatomy.py": "simulation/test_label_maps.py",
    "simulation/outcomes.py": "simulation/test_cohort_design.py",
    "testing.py": "aggregation/test_contract.py",
    "training/faults.py": "training/test_local.py",
    "workflows/after_rounds.py": "workflows/test_run.py",
    "workflows/approve.py": "workflows/test_withdraw.py",
    "workflows/best_state.py": "workflows/test_run.py",
    "workflows/cache.py": "cli/test_cache.py",
    "workflows/explain.py": "workflows/test_predict.py",
    "workflows/flower_app/fedtune3d_app.py": "federation/flower/test_deployment.py",
    "workflows/known_scans.py": "workflows/test_predict.py",
    "workflows/plan_study.py": "workflows/test_plan.py",
    "workflows/study_costs.py": "workflows/test_plan.py",
    "workflows/prepare.py": "federation/test_heads_and_tunings.py",
    "workflows/serve.py": "federation/flower/test_deployment.py",
    "workflows/trial_processes.py": "workflows/test_workers.py",
    "workflows/sites.py": "federation/flower/test_site_host.py",
}


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _imports() -> grimp.ImportGraph:
    return grimp.build_graph("fedtune3d", exclude_type_checking_imports=True, cache_dir=None)


def test_nothing_stands_beside_the_rooms() -> None:
    assert {path.name for path in PACKAGE.iterdir()} - {"__pycache__"} == ROOMS | LOOSE


def test_no_module_is_too_long() -> None:
    too_long = {}
    for path in PACKAGE.rglob("*.py"):
        name, lines = path.relative_to(PACKAGE).as_posix(), len(path.read_text().splitlines())
        if lines > LONG_MODULES.get(name, 350):
            too_long[name] = lines
    assert not too_long


def test_no_docstring_begins_with_what() -> None:
    begin = re.compile(r'"""What\b')
    assert [path.name for path in PACKAGE.rglob("*.py") if begin.search(path.read_text())] == []


@pytest.mark.ci
def test_no_function_is_too_long() -> None:
    too_long = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(_parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{path.relative_to(PACKAGE).as_posix()}:{node.name}"
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONG_FUNCTIONS.get(name, 60):
                    too_long[name] = lines
    assert not too_long


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = _imports()
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    for module, imported in imports.items():
        package = module.rpartition(".")[0]
        if package in CATALOGUES:
            imports[module] = imported - {package}
    # Whatever imports nothing that is left cannot be in a circle; what then remains is in one, or leads to one.
    while leaves := {module for module, imported in imports.items() if not imported}:
        imports = {module: imported - leaves for module, imported in imports.items() if module not in leaves}
    assert not imports


def _modules() -> list[Path]:
    """Every module that holds code of its own, relative to the package."""
    paths = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return [path for path in paths if path.name not in ("__init__.py", "__main__.py")]


def _mirror_of(module: Path) -> Path:
    return TESTS / module.parent / f"test_{module.stem.lstrip('_')}.py"


def test_every_module_has_a_test_module() -> None:
    untested = {path.as_posix() for path in _modules() if not _mirror_of(path).exists()}
    assert untested - TESTED_ELSEWHERE.keys() == set(), "add tests/…/test_….py, or name the test that covers it"
    assert TESTED_ELSEWHERE.keys() - untested == set(), "it has a test module of its own, or is gone; remove it here"


def test_what_is_tested_elsewhere_is_imported_or_named_there() -> None:
    graph = _imports()
    strangers = {}
    for name, test in TESTED_ELSEWHERE.items():
        module = ".".join(("fedtune3d", *Path(name).with_suffix("").parts))
        text = (TESTS / test).read_text()
        named = re.search(rf"\b{re.escape(Path(name).stem)}\b", text) or name in NOT_IMPORTED
        if not named and module not in _imported(ast.parse(text), graph, steps=2):
            strangers[name] = test
    assert strangers == {}


def _imported(tree: ast.Module, graph: grimp.ImportGraph, steps: int) -> set[str]:
    """The package's modules that a file imports, and those that these import, so many steps far."""
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    imported &= graph.modules
    for _ in range(steps):
        imported |= {further for module in imported for further in graph.find_modules_directly_imported_by(module)}
    return imported


@pytest.mark.ci
def test_every_test_checks_something() -> None:
    idle = []
    for path in sorted(TESTS.rglob("test_*.py")):
        functions = [node for node in ast.walk(_parsed(path)) if isinstance(node, ast.FunctionDef)]
        checking = {node.name for node in functions if _checks(node, CHECKERS)}
        # A helper or fixture that checks makes those check that call or ask for it.
        while more := {
            node.name
            for node in functions
            if node.name not in checking
            and (_checks(node, checking) or any(argument.arg in checking for argument in node.args.args))
        }:
            checking |= more
        idle += [
            f"{path.relative_to(TESTS)}: {node.name}"
            for node in functions
            if node.name.startswith("test_") and node.name not in checking
        ]
    assert idle == []


def _checks(function: ast.FunctionDef, checkers: Collection[str]) -> bool:
    """Whether a function asserts, raises, or calls something that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call) and _called(node) in checkers:
            return True
        if isinstance(node, ast.Call) and any(
            keyword.arg == "check" and getattr(keyword.value, "value", False) is True for keyword in node.keywords
        ):
            return True  # subprocess.run(…, check=True)
    return False


def _called(call: ast.Call) -> str:
    """The last part of what is called: ``raises`` of ``pytest.raises(…)``."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


@pytest.mark.ci
def test_no_test_polls_without_a_limit() -> None:
    polling = []
    for path in sorted(TESTS.rglob("*.py")):
        loops = [node for node in ast.walk(_parsed(path)) if isinstance(node, ast.While)]
        calls = [call for loop in loops for call in ast.walk(loop) if isinstance(call, ast.Call)]
        if any(_called(call) == "sleep" for call in calls) and path.name != "waiting.py":
            polling.append(path.relative_to(TESTS).as_posix())
    assert polling == [], "use wait_until of tests/support/waiting.py"


def test_open_mappings_become_fewer() -> None:
    trees = {path: _parsed(path) for path in PACKAGE.rglob("*.py")}
    aliases = {
        target.id
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.Assign) and any(_is_open(part) for part in ast.walk(node.value))
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    places = Counter(
        path.relative_to(PACKAGE).as_posix()
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if _is_open(node) or (isinstance(node, ast.Name) and node.id in aliases and isinstance(node.ctx, ast.Load))
    )
    assert places.total() <= OPEN_MAPPINGS, places.most_common(5)


def _is_open(node: ast.AST) -> bool:
    """Whether a node is a mapping type with values of any type, such as ``dict[str, Any]``."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
        return False
    kind = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    return kind in ("dict", "Mapping", "MutableMapping") and getattr(node.slice.elts[-1], "id", "") in ("Any", "object")
