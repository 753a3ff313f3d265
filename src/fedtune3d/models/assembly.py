"""Assembly of a trainable model from encoder, weights, head and tuning."""

from dataclasses import dataclass, field

from torch import nn

from fedtune3d._utils.seeds import derive_seed
from fedtune3d._utils.state_dicts import State
from fedtune3d.evaluation.outcome import BINARY, Outcome
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder, encoder_spec
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.heads import build_head
from fedtune3d.models.nearest_centre import NearestCentre
from fedtune3d.models.packaged_weights import Weights, set_encoder_weights
from fedtune3d.models.references import ResNet18Reference
from fedtune3d.models.tuning import Trainable, Tuning, apply_tuning, write_state
from fedtune3d.models.tuning.residuals import SUFFIX as RESIDUAL_SUFFIX
from fedtune3d.models.tuning.residuals import clear_residuals, write_residuals
from fedtune3d.models.weights import WeightsInfo

RESNET18 = "resnet18"
NCC = "ncc"


def input_spec(encoder_name: str) -> InputSpec:
    """Return the input specification of the encoder or reference model of this name."""
    return ResNet18Reference.INPUT if encoder_name == RESNET18 else encoder_spec(encoder_name).input


@dataclass(frozen=True)
class AssembledModel:
    """A model, its trainable parameters, the source of its encoder's weights, and what it predicts."""

    model: nn.Module
    trainable: Trainable
    weights: WeightsInfo = field(default_factory=lambda: WeightsInfo("random", ""))
    outcome: Outcome = BINARY

    def write(self, state: State) -> None:
        """Load a state into the model: the trainable parameters, and what exact LoRA averaging added to frozen weights.

        Raises:
            InputError: If names or shapes are not those of the model.
        """
        residuals = {name: tensor for name, tensor in state.items() if name.endswith(RESIDUAL_SUFFIX)}
        if isinstance(self.model, Classifier):
            if residuals:
                write_residuals(self.model, residuals)
            else:
                clear_residuals(self.model)  # those of another method's state
        write_state(self.model, self.trainable, {name: value for name, value in state.items() if name not in residuals})


def assemble(
    encoder_name: str, weights: Weights, head_name: str, tuning: Tuning, seed: int, outcome: Outcome = BINARY
) -> AssembledModel:
    """Build the model; the same arguments give the same bits.

    Args:
        encoder_name: A name of `build_encoder`, or ``"resnet18"``, the reference, which has no head.
        weights: See `models.packaged_weights.Weights`.
        head_name: A name of `build_head`, whose weights are drawn from the seed; or ``"ncc"``, which has none.
        tuning: Determines the trainable parameters.
        seed: The run's seed.
        outcome: What the model predicts, which determines its outputs.

    Raises:
        InputError: If the checkpoint does not fit, or the tuning does not fit the model.
    """
    if encoder_name == RESNET18:
        reference = ResNet18Reference(derive_seed(seed, "encoder"), outcome.width)
        return AssembledModel(reference, apply_tuning(reference, tuning), WeightsInfo("random", ""), outcome)
    encoder = build_encoder(encoder_name)
    info = set_encoder_weights(encoder, weights, derive_seed(seed, "encoder"))
    if head_name == NCC:
        head: nn.Module = NearestCentre(encoder.out_channels, outcome.width)
    else:
        head = build_head(head_name, encoder.out_channels, derive_seed(seed, "head"), outcome.width)
    model = Classifier(encoder, head)
    return AssembledModel(model, apply_tuning(model, tuning, derive_seed(seed, "tuning")), info, outcome)
