"""Contract tests for extensions: each raises `AssertionError` with a clear message and needs no test runner.

``check_rule(MyRule())`` checks an aggregation rule with its site step; ``check_head("my_head")`` checks a head;
``check_encoder("my_encoder")`` checks an encoder.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import numpy_rng, torch_rng
from fedtune3d._utils.state_dicts import State, state_sha256
from fedtune3d.aggregation.checks import find_fault
from fedtune3d.aggregation.contract import Rule, RuleContext, Update
from fedtune3d.aggregation.rule_checks import CHECKS as SERVER_CHECKS
from fedtune3d.aggregation.site_scores import RECEIVED_SCORE, SENT_SCORE, SiteScore
from fedtune3d.aggregation.site_step import KEPT_LOCAL, STATE, Parts, SiteStep, pack_step, unpack_step
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoder_checks import CHECKS as MODEL_CHECKS
from fedtune3d.models.encoder_checks import Checked, checked
from fedtune3d.models.encoders import install_encoder
from fedtune3d.models.heads import build_head, head_title
from fedtune3d.models.tuning import Frozen, Trainable, apply_tuning, read_state
from fedtune3d.models.tuning.trainable import trainable_of
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import TrainingSettings

ROUNDS = 3
SITES = ("Aachen", "Basel")
CHANNELS, POSITIONS = 384, 8
"""Shape of the features with which heads are checked: that of SAM-Med3D."""


def check_rule(rule: Rule) -> None:
    """Run all checks of a rule. Raises `AssertionError` with the first failure."""
    for check in RULE_CHECKS:
        check(rule)


def check_head(name: str) -> None:
    """Run all checks of the head in ``models/heads/<name>.py``. Raises `AssertionError` with the first failure."""
    for check in HEAD_CHECKS:
        check(name)


def check_encoder(name: str, size: int | None = None) -> None:
    """Run every check on an encoder.

    Args:
        name: The name in the experiment file, or the path of a file of your own, which is installed in this process.
        size: Voxels along each axis of the test scans; by default the encoder's own size, or 64 if it accepts any.

    Raises:
        AssertionError: If a check fails.
    """
    if name.endswith(".py"):
        name = install_encoder(name).name
    for check in ENCODER_CHECKS:
        check(checked(name, size))


def check_cache_key(it: Checked) -> None:
    """Check that equal weights under another encoder name, version or file have another key in the feature cache."""
    encoder = it.build()
    model = Classifier(encoder, build_head("linear", encoder.out_channels))
    prefix = Prefix(model, apply_tuning(model, Frozen()))
    spec, key = encoder.spec, prefix.key("scan", "0").digest()
    for change in ({"name": "another"}, {"version": spec.version + 1}, {"code_sha256": "another"}):
        encoder.spec = dataclasses.replace(spec, **change)
        it.require(prefix.key("scan", "0").digest() != key, f"the cache's key is the same with {change}")


ENCODER_CHECKS: tuple[Callable[[Checked], None], ...] = (*MODEL_CHECKS, check_cache_key)


def check_site_half(rule: Rule) -> None:
    """Check three rounds of training at two sites: they send what the rule expects, and the state stays finite.

    Each step is handled as in a real run: packed, unpacked by class, and carried out by `train_locally`.
    """
    model = _SmallModel()
    trainable = trainable_of(model, 0, ("",))
    assembled = AssembledModel(model, trainable)
    state, memory = rule.start(read_state(model, trainable), _context(trainable))
    kept: dict[str, Parts] = {site: {} for site in SITES}
    for number in range(1, ROUNDS + 1):
        updates = []
        for site in SITES:
            step = unpack_step(rule.step_type, pack_step(rule.site_step(memory, site)))
            trained = _train_at(site, number, assembled, state, step, kept[site])
            kept[site] = trained.remembered
            sent = trained.parts.__getitem__
            updates.append(Update(site, len(SITES), sent, trained.scores, trained.loss, trained.scalars))
        before = state_sha256(state)
        result = rule.aggregate(state, updates, memory)
        _require(state_sha256(state) == before, f"round {number}: aggregate modified its argument `state`")
        _require(find_fault(state, result.state) is None, f"round {number}: {find_fault(state, result.state)}")
        state, memory = result.state, result.memory


RULE_CHECKS: tuple[Callable[[Rule], None], ...] = (*SERVER_CHECKS, check_site_half)


def check_head_shape(name: str) -> None:
    """Check that outputs are finite and (scans, outputs), for different numbers of scans, channels and outputs."""
    for channels, scans, width in ((CHANNELS, 1, 2), (CHANNELS, 3, 2), (16, 2, 2), (16, 2, 3), (16, 2, 1)):
        outputs = build_head(name, channels, outputs=width)(_features(scans, channels))
        shape = tuple(outputs.shape)
        _require(shape == (scans, width), f"head {name}: expected ({scans}, {width}) outputs, got {shape}")
        _require(bool(torch.isfinite(outputs).all()), f"head {name}: the outputs are not finite")


def check_head_seed(name: str) -> None:
    """Check that weights depend only on name and seed, and drawing them does not change torch's random state."""
    before = torch.get_rng_state()
    hashes = [state_sha256(build_head(name, CHANNELS, seed).state_dict()) for seed in (3, 3)]
    _require(hashes[0] == hashes[1], f"head {name}: the same seed gives different weights")
    _require(torch.equal(torch.get_rng_state(), before), f"head {name}: building changes torch's random state")


def check_head_batch(name: str) -> None:
    """Check that in evaluation mode, a scan's logits do not depend on the other scans in the batch."""
    head, features = build_head(name, CHANNELS).eval(), _features(3, CHANNELS)
    with torch.inference_mode():
        together, alone = head(features)[1:2], head(features[1:2])
    _require(torch.allclose(together, alone, rtol=1e-4, atol=1e-5), f"head {name}: a scan depends on its batch")


def check_head_learns(name: str) -> None:
    """Check that every parameter has a finite gradient, and ten steps lower the loss on two distinct patterns."""
    head, features, labels = build_head(name, CHANNELS), _features(4, CHANNELS), torch.tensor([0, 1, 0, 1])
    features = features + (2.0 * labels - 1).view(-1, 1, 1, 1, 1) * _features(1, CHANNELS, "pattern")
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(features), labels)
        loss.backward()
        for parameter_name, parameter in head.named_parameters():
            fault = parameter.grad is None or not bool(torch.isfinite(parameter.grad).all())
            _require(not fault, f"head {name}: {parameter_name} has no finite gradient")
        optimizer.step()
        losses.append(loss.item())
    _require(losses[-1] < losses[0], f"head {name}: the loss does not decrease: {losses}")


def check_head_title(name: str) -> None:
    """Check that the module has a docstring, whose first line is the head's title."""
    try:
        head_title(name)
    except InputError as error:
        raise AssertionError(str(error)) from error


HEAD_CHECKS: tuple[Callable[[str], None], ...] = (
    check_head_shape,
    check_head_seed,
    check_head_batch,
    check_head_learns,
    check_head_title,
)


class _SmallModel(nn.Module):
    """A model of one stage with LoRA factors, a normalisation layer and a head."""

    stage_count = 1

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Module()
        self.block.lora_A = nn.ModuleDict({"default": nn.Linear(4, 2, bias=False)})
        self.block.lora_B = nn.ModuleDict({"default": nn.Linear(2, 4, bias=False)})
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            for name, parameter in sorted(self.named_parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=torch_rng("small model", name)))

    def run_stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        parameters = dict(self.named_parameters())
        adapted = x @ parameters["block.lora_A.default.weight"].T @ parameters["block.lora_B.default.weight"].T
        logits: torch.Tensor = self.head(self.norm(x + adapted))
        return logits


class _Points(ScanSet):
    """Points in four dimensions instead of scans, of both classes."""

    def __init__(self, site: str) -> None:
        super().__init__([0, 1, 0, 1], first_stage=0)
        self.points = torch.randn(4, 4, generator=torch_rng("points", site))

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        return self.points[list(indices)]

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


@dataclass(frozen=True)
class _Trained:
    parts: Parts
    remembered: Parts
    scores: dict[str, SiteScore]
    loss: float | None
    scalars: dict[str, float]


def _train_at(
    site: str, number: int, assembled: AssembledModel, state: State, step: SiteStep, remembered: Parts
) -> _Trained:
    """Train one site for one round. Returns what it sends and keeps."""
    received = state | remembered.get(KEPT_LOCAL, {})
    drawn = numpy_rng("site half", site, number)
    scored = [RECEIVED_SCORE, SENT_SCORE]
    for name, other in step.states_to_score(received, remembered).items():
        declared = name in type(step).own_scores
        _require(declared, f"{type(step).__name__}.states_to_score: {name} is not in own_scores")
        fault = find_fault(received, other)
        _require(fault is None, f"{type(step).__name__}.states_to_score: {name}: {fault}")
        scored.append(name)
    scores = {name: SiteScore(float(drawn.uniform(0.4, 0.9)), "auc", len(SITES)) for name in scored}
    loss = float(drawn.uniform(0.2, 1.0)) if step.scores_training else None
    settings = TrainingSettings(optimizer="sgd", head_learning_rate=0.05, batch_size=2)
    local_round = LocalRound(1, site, number, ROUNDS)
    result = train_locally(assembled, received, _Points(site), settings, local_round, step=step, remembered=remembered)
    trained = received | read_state(assembled.model, assembled.trainable)
    expected = step.expected_parts(received)
    parts = {STATE: {name: trained[name] for name in expected[STATE]}, **result.parts}
    _require(parts.keys() == expected.keys(), f"expected the parts {sorted(expected)}, got {sorted(parts)}")
    for part, like in expected.items():
        fault = find_fault(like, parts[part])
        _require(fault is None, f"part {part}: {fault}")
    scalars = step.scalars(received, trained, remembered)
    unknown = scalars.keys() - set(step.own_scalars)
    _require(not unknown, f"{type(step).__name__}.scalars: {sorted(unknown)} not in own_scalars")
    kept = step.to_remember(trained, parts, remembered) | step.received_to_remember(received)
    return _Trained(parts, kept, scores, loss, scalars)


def _context(trainable: Trainable) -> RuleContext:
    normalisation = tuple(name for name in trainable.names if name.startswith("norm."))
    return RuleContext(SITES, trainable.parameters, normalisation, optimizer="sgd")


def _features(scans: int, channels: int, *causes: str) -> torch.Tensor:
    return torch.randn(scans, channels, *(POSITIONS,) * 3, generator=torch_rng("features", scans, channels, *causes))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
