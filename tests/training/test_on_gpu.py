"""On a GPU: the same bits each time, float32 that is float32, and bfloat16 that is near it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedtune3d._utils.errors import MachineError
from fedtune3d._utils.gpu import compute_exactly
from fedtune3d._utils.seeds import global_draws_from, torch_rng
from fedtune3d._utils.state_dicts import State, load_state
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.costs import measure_costs
from fedtune3d.models.assembly import assemble, input_spec
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, Full, Lora, Tuning, apply_tuning
from fedtune3d.training.prefix import Prefix
from fedtune3d.workflows.run import run_experiment

GPU = torch.device("cuda")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(autouse=True)
def _exact() -> None:
    compute_exactly()


def gradients(model: nn.Module, scans: torch.Tensor) -> State:
    """The gradients of the cross-entropy of two scans, in training mode."""
    model.zero_grad(set_to_none=True)
    with global_draws_from("gpu", device=GPU):
        loss = nn.functional.cross_entropy(model(scans), torch.tensor([0, 1], device=GPU))
    loss.backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize(
    ("encoder", "head", "tuning"),
    [
        ("vit_b", "linear", Full()),
        ("vit_b", "conv_s", Lora(dropout=0.1)),
        ("vit_b", "conv_l", Lora()),
        ("deepbet", "linear", Full()),
        ("meshnet", "linear", Full()),
        ("brainiac", "linear", Full()),
        ("openmind_resenc", "linear", Full()),
        ("resnet18", "linear", Full()),
    ],
)
def test_training_gives_the_same_bits_each_time(encoder: str, head: str, tuning: Tuning) -> None:
    if encoder == "resnet18":
        pytest.importorskip("monai")
    size = input_spec(encoder).size
    model = assemble(encoder, "random", head, tuning, seed=1).model.to(GPU).train()
    scans = torch.rand(2, 1, size, size, size, generator=torch_rng("gpu")).to(GPU)
    first, *others = (gradients(model, scans) for _ in range(3))
    assert first
    assert all(torch.equal(other[name], first[name]) for other in others for name in first)


def vit_with_positions() -> Classifier:
    """ViT-B with relative positions and biases large enough to matter."""
    encoder = build_encoder("vit_b")
    initialise_random(encoder, 0)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "rel_pos" in name or name.endswith("qkv.bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=torch_rng("large", name)) * 0.3)
    return Classifier(encoder, build_head("linear", encoder.out_channels, 2))


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_the_features_are_those_of_a_cpu(precision: Any, most: float) -> None:
    model = vit_with_positions()
    trainable = apply_tuning(model, Frozen(), 3)
    scan = torch.randn(1, 128, 128, 128, generator=torch_rng("scan"))
    expected = Prefix(model, trainable).encode(scan)
    features = Prefix(model.to(GPU), trainable, precision).encode(scan)
    assert 0 < (features - expected).norm() / expected.norm() < most


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recorded_kernels_give_the_bits_of_others(precision: Any) -> None:
    model = vit_with_positions().to(GPU)
    prefix = Prefix(model, apply_tuning(model, Lora(blocks="last:2"), 3), precision)
    scans = torch.randn(3, 1, 128, 128, 128, generator=torch_rng("scan"))
    recorded = [prefix.encode(scan) for scan in (*scans, scans[0])]
    with torch.inference_mode():
        expected = [prefix._run(scan[None].to(GPU), precision)[0].cpu() for scan in scans]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(recorded, [*expected, expected[0]], strict=True))
    assert prefix._recorded[precision] is not None


def test_what_cannot_be_recorded_is_encoded_all_the_same() -> None:
    model = vit_with_positions().to(GPU)
    prefix = Prefix(model, apply_tuning(model, Frozen(), 3))
    scan = torch.randn(1, 128, 128, 128, generator=torch_rng("scan"))
    expected = prefix.encode(scan)
    hook = model.encoder.blocks[3].register_forward_hook(lambda *_: torch.cuda.synchronize())  # type: ignore[index]
    waiting = Prefix(model, apply_tuning(model, Frozen(), 3))
    assert torch.equal(waiting.encode(scan), expected)
    assert waiting._recorded["float32"] is None
    hook.remove()
    assert torch.equal(Prefix(model, apply_tuning(model, Frozen(), 3)).encode(scan), expected)


def test_convolutions_are_in_single_precision() -> None:
    model = assemble("openmind_resenc", "random", "linear", Frozen(), seed=1)
    prefix = Prefix(model.model, model.trainable)
    scan = torch.randn(1, *(input_spec("openmind_resenc").size,) * 3, generator=torch_rng("scan"))
    expected = prefix.encode(scan)
    model.model.to(GPU)
    error = (prefix.encode(scan) - expected).norm() / expected.norm()
    torch.backends.cudnn.allow_tf32 = True
    rounded = (Prefix(model.model, model.trainable).encode(scan) - expected).norm() / expected.norm()
    assert error < 1e-4 < rounded


def peak_of_full_tuning(scans: int) -> int:
    """The peak memory of two steps on a batch of so many scans, above what other tests hold."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model = assemble("vit_b", "random", "linear", Full(), seed=1).model.to(GPU).train()
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        model(torch.rand(scans, 1, 128, 128, 128, device=GPU)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return torch.cuda.max_memory_allocated() - before


def test_full_tuning_of_a_scan_fits_into_six_gigabytes() -> None:
    assert 1e9 < peak_of_full_tuning(scans=1) < 6e9


def test_the_plan_foresees_the_memory_of_a_batch(small_experiment: Any, tmp_path: Path) -> None:
    keys = {"model": {"encoder": "vit_b", "head": "linear"}, "tuning": {"method": "full"}, "device": "cuda"}

    def planned(batch_size: int) -> int:
        path = small_experiment.write(tmp_path / "run", training={"rounds": 1, "batch_size": batch_size}, **keys)
        found = measure_costs(Experiment.from_yaml(path)).gpu_bytes
        assert found is not None
        return found

    taken = peak_of_full_tuning(scans=8)
    assert 0.9 * taken < planned(8) < 1.4 * taken
    assert planned(8) > 1.5 * planned(1)


def test_memory_that_runs_out_is_said_in_one_line(small_experiment: Any, tmp_path: Path) -> None:
    keys = {"model": {"encoder": "vit_b", "head": "linear"}, "tuning": {"method": "full"}, "device": "cuda"}
    experiment = Experiment.from_yaml(small_experiment.write(tmp_path / "run", **keys))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 1.2e9) / total)
    try:
        with pytest.raises(MachineError, match="the GPU's memory ran out"):
            run_experiment(experiment)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


RUNS: dict[str, dict[str, Any]] = {
    "full": {"tuning": {"method": "full"}},
    "frozen": {"tuning": {"method": "frozen"}},
    "private": {"privacy": {"epsilon": 8, "delta": 1e-3}, "training": {"class_weighted": False}},
}
TRAINING = {"batch_size": 4, "schedule": "constant"}


def run_on_gpu(small_experiment: Any, output: Path, keys: dict[str, Any], rounds: int, workers: int = 1) -> State:
    """Run the small experiment, or continue it; returns the best state."""
    keys = keys | {"training": TRAINING | keys.get("training", {}) | {"rounds": rounds}}
    path = small_experiment.write(output, device="cuda", workers=workers, **keys)
    return load_state(run_experiment(Experiment.from_yaml(path), resume=True).best_checkpoint)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_same_bits_however_it_was_run(small_experiment: Any, tmp_path: Path, name: str) -> None:
    def run(output: str, rounds: int = 2, workers: int = 1) -> State:
        return run_on_gpu(small_experiment, tmp_path / output, RUNS[name], rounds, workers)

    once, others = run("once"), [run("again", workers=2)]
    if name != "private":  # whose ε is of all rounds
        run("resumed", rounds=1)
        others.append(run("resumed"))
    assert all(torch.equal(other[tensor], once[tensor]) for other in others for tensor in once)


def test_the_nearest_centre_is_found_on_a_gpu(small_experiment: Any, tmp_path: Path) -> None:
    sites = [site | {"policy": {"min_per_class": 1}} for site in small_experiment.values["sites"]]
    keys = {"model": {"encoder": "tiny", "head": "ncc"}, "aggregation": {"rule": "ncc"}, "sites": sites}
    state = run_on_gpu(small_experiment, tmp_path / "run", keys, rounds=1)
    assert state["head.counts"].sum() == 14
