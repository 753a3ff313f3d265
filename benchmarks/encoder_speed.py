"""What an encoder costs on one scan, next to its floor and to the network that it rebuilds; see `encoders.py speed`."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import Encoder, initialise_random
from fedtune3d.models.encoders.networks.mesh_net import layers, to_lia, to_ras
from fedtune3d.models.encoders.networks.mesh_net_encoder import MeshNetEncoder
from fedtune3d.models.encoders.openmind_resenc import BLOCKS, WIDTHS
from fedtune3d.models.packaged_weights import load_packaged_weights, packaged_file
from fedtune3d.training.peak_memory import PeakMemory
from floors import best_seconds, forward_gflop, matrix_rates

Network = Callable[[Tensor], Tensor]
CPU = torch.device("cpu")
PRODUCT = "float32_onednn"
TURNS = 2


@dataclass(frozen=True)
class Pass:
    """Seconds of a pass, its floor, and its peak memory above the weights."""

    seconds: float
    floor_seconds: float
    peak_bytes: int

    @property
    def cells(self) -> tuple[str, str, str]:
        """For a table."""
        over = self.seconds / self.floor_seconds
        return f"{self.seconds:.2f}", f"{self.floor_seconds:.2f} ({over:.2f})", f"{self.peak_bytes / 1e9:.2f}"


@dataclass(frozen=True)
class Reference:
    """The forward pass of a reference.

    Attributes:
        package: Where it comes from.
        seconds: Time of its forward pass.
        peak_bytes: Its peak memory above the weights.
        relative_error: Of our features from its, as a share of their norm.
    """

    package: str
    seconds: float
    peak_bytes: int
    relative_error: float


@dataclass(frozen=True)
class Costs:
    """What an encoder costs on one scan.

    Attributes:
        encoder: Its name.
        size: Voxels along each axis of the scan.
        gflop: Products and convolutions of a forward pass; a multiplication and an addition are two.
        gflops: The rate of a matrix product in the same process, GFLOP/s.
        forward: The forward pass.
        training: Forward and backward for all parameters; None if the scan is too large.
        reference: None if there is no other implementation.
    """

    encoder: str
    size: int
    gflop: float
    gflops: float
    forward: Pass
    training: Pass | None
    reference: Reference | None


def measure(name: str, max_training_size: int) -> Costs:
    """Time an encoder and its reference in turns, on noise."""
    encoder = build_encoder(name).eval()
    if encoder.spec.is_packaged:
        load_packaged_weights(encoder)
    else:
        initialise_random(encoder, 0)
    size = encoder.spec.input.size
    scan = torch.rand(1, 1, size, size, size, generator=torch.Generator().manual_seed(0))
    found = reference_of(name, encoder)
    before = matrix_rates(time.perf_counter, [PRODUCT])[PRODUCT]

    runs: dict[str, Callable[[], Tensor]] = {"ours": lambda: encoder(scan)}
    if found is not None:
        package, network = found
        runs["reference"] = lambda: network(scan)
    with torch.inference_mode():
        peaks = {side: peak_bytes(run) for side, run in runs.items()}
        seconds = best_seconds(runs, TURNS, time.perf_counter)
        reference = None
        if found is not None:
            error = relative_error(encoder(scan), network(scan))
            reference = Reference(package, seconds["reference"], peaks["reference"], error)
    gflop = forward_gflop(encoder, scan)
    gflops = max(before, matrix_rates(time.perf_counter, [PRODUCT])[PRODUCT])
    training = train(encoder, scan, 3 * gflop / gflops) if size <= max_training_size else None
    forward = Pass(seconds["ours"], gflop / gflops, peaks["ours"])
    return Costs(name, size, gflop, gflops, forward, training, reference)


def train(encoder: Encoder, scan: Tensor, floor_seconds: float) -> Pass:
    """Forward and backward for all parameters."""

    def run() -> None:
        encoder.zero_grad(set_to_none=True)
        encoder(scan).sum().backward()

    peak = peak_bytes(run)
    return Pass(best_seconds({"ours": run}, TURNS, time.perf_counter)["ours"], floor_seconds, peak)


def peak_bytes(run: Callable[[], object]) -> int:
    """The peak memory of a run above what the process holds before it."""
    memory = PeakMemory()
    memory.begin(CPU)
    run()
    return memory.peak_bytes()


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """‖ours − theirs‖ / ‖theirs‖."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def reference_of(name: str, encoder: Encoder) -> tuple[str, Network] | None:
    """The package of the network that an encoder rebuilds, and the network with the same weights."""
    if name == "vit_b":
        return "medim", medim_network(encoder)
    if name == "brainiac":
        return "MONAI", monai_network(encoder)
    if name == "openmind_resenc":
        return "dynamic-network-architectures", residual_network(encoder)
    if isinstance(encoder, MeshNetEncoder):
        return "a chain of nn.Conv3d", chain_network(encoder)
    if name == "deepbet" and encoder.spec.release is not None and (path := packaged_file(encoder.spec.release)):
        return "deepbet", scripted_network(path)
    return None


def medim_network(encoder: Encoder) -> Network:
    """SAM-Med3D's image encoder."""
    from medim.models.sam_med3d import ImageEncoderViT3D  # type: ignore[import-untyped]

    network = ImageEncoderViT3D(
        img_size=128,
        out_chans=384,
        norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(2, 5, 8, 11),
    )
    return loaded(network, encoder)


def monai_network(encoder: Encoder) -> Network:
    """MONAI's vision transformer, its tokens as a map."""
    from monai.networks.nets import ViT

    network = loaded(ViT(in_channels=1, img_size=96, patch_size=16, classification=False), encoder)
    return lambda scan: network(scan)[0].transpose(1, 2).unflatten(2, encoder.spec.features.shape[1:])


def residual_network(encoder: Encoder) -> Network:
    """The first five stages of nnU-Net's residual encoder L."""
    from dynamic_network_architectures.building_blocks.residual_encoders import (  # type: ignore[import-untyped]
        ResidualEncoder,
    )

    network = ResidualEncoder(
        1,
        len(WIDTHS),
        WIDTHS,
        nn.Conv3d,
        3,
        (1, 2, 2, 2, 2),
        BLOCKS,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return loaded(network, encoder)


def chain_network(encoder: MeshNetEncoder) -> Network:
    """MeshNet as brainchop defines it, all maps at once."""
    network = layers().eval()
    network.load_state_dict(encoder.model.state_dict())
    return lambda scan: to_ras(encoder.features_of(network(to_lia(scan)).softmax(dim=1)))


def scripted_network(path: Path) -> Network:
    """The stages of deepbet's network in its own file, their maps brought to 8³ as ours."""
    from fedtune3d.models.encoders.deepbet import standardise, to_positions

    scripted = torch.jit.load(str(path)).eval()
    relu = getattr(scripted.conv, "2")

    def run(scan: Tensor) -> Tensor:
        x, maps = scripted.init.forward(relu, standardise(scan)), []
        for layer in ("down0", "down1", "down2", "down3"):
            x = getattr(scripted, layer).forward(relu, x)
            maps.append(to_positions(x))
        return torch.cat(maps, dim=1)

    return run


def loaded(network: nn.Module, encoder: Encoder) -> nn.Module:
    """The network with the encoder's weights; names that only one of them has are left as they are."""
    missing = network.load_state_dict(encoder.state_dict(), strict=False)
    if missing.unexpected_keys:
        raise SystemExit(f"{encoder.spec.name}: the reference lacks {missing.unexpected_keys[0]}")
    return network.eval()


HEAD = (
    *("encoder", "scan", "GFLOP", "forward, s", "floor, s (times)", "peak, GB"),
    *("forward and backward, s", "floor, s (times)", "peak, GB"),
    *("reference", "forward, s", "times slower", "peak, GB", "error"),
)


def line(costs: Costs) -> str:
    """A line of the table."""
    training = ("–",) * 3 if costs.training is None else costs.training.cells
    theirs, reference = costs.reference, ("none", *("–",) * 4)
    if theirs is not None:
        slower, memory = theirs.seconds / costs.forward.seconds, theirs.peak_bytes / 1e9
        error = f"{theirs.relative_error:.0e}"
        reference = (theirs.package, f"{theirs.seconds:.2f}", f"{slower:.2f}", f"{memory:.2f}", error)
    cells = (costs.encoder, f"{costs.size}³", f"{costs.gflop:,.1f}", *costs.forward.cells, *training, *reference)
    return f"| {' | '.join(cells)} |"


def print_speed(names: Sequence[str], threads: int, max_training_size: int, as_json: bool) -> None:
    """Measure each encoder in a process of its own; print a line as it is measured, and JSON at the end."""
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    found = []
    for name in names:
        command = [sys.executable, __file__, name, str(threads), str(max_training_size)]
        last = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        found.append(json.loads(last)["costs"])
        print(json.loads(last)["line"], flush=True)
    rates = [costs["gflops"] for costs in found]
    print(f"Floor: GFLOP at the rate of a matrix product in the same process, {min(rates):.0f} to {max(rates):.0f}")
    print(f"GFLOP/s; three times that with the backward pass. Peak memory is above the weights. {threads} threads.")
    if as_json:
        print(json.dumps({"encoders": found, "threads": threads}))


def main() -> None:
    """Measure one encoder; the last line is for the process that asks."""
    name, threads, max_training_size = sys.argv[1:]
    torch.set_num_threads(int(threads))
    costs = measure(name, int(max_training_size))
    print(json.dumps({"costs": asdict(costs), "line": line(costs)}))


if __name__ == "__main__":
    main()
