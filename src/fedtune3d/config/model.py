"""The `model` of an experiment file: encoder, its weights, head."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fedtune3d._utils.json_values import Json
from fedtune3d._utils.names import known_name
from fedtune3d._utils.strict import StrictModel
from fedtune3d._utils.user_paths import UserPath
from fedtune3d.config.own_encoder import NAMES_A_FILE, find_other_code, is_encoder_file
from fedtune3d.models.assembly import NCC, RESNET18
from fedtune3d.models.encoders import encoder_names, encoder_spec
from fedtune3d.models.heads import head_names
from fedtune3d.training.settings import Precision

_LATER_KEYS = ("accept_licence", "encoder_sha256", "precision")
"""Left out of the identity of an experiment where they have their defaults, so that it stays what it was."""


def default_weights(encoder: str) -> Literal["random", "packaged"]:
    """The weights of an encoder for which a file gives none."""
    return "packaged" if encoder in encoder_names() and encoder_spec(encoder).is_packaged else "random"


class ModelSection(StrictModel):
    """The encoder, its weights and the head.

    The weights are `random`, drawn from the seed, the path of a checkpoint file, or `packaged`, which come inside an
    installed package. An encoder that has packaged weights starts from these unless the file says otherwise.

    The encoder `resnet18` is a reference without weights or head: a complete classifier, trained from scratch. A file
    of the user's own is given by its path in a file that the user runs, else by its name and SHA-256.

    Attributes:
        encoder_sha256: SHA-256 of the file of an encoder of your own, across hospitals (docs/encoders.md).
        encoder: The encoder's name, or the path of a file of your own (docs/encoders.md).
        weights: ``random``, ``packaged``, or the path of a checkpoint (docs/weights.md). Without this key,
            ``packaged`` where the encoder has such weights.
        head: The classification head's name (docs/heads.md).
        accept_licence: Accept the licence of weights that are not under a permissive one.
        precision: Number format in which a frozen encoder is computed; bfloat16 is refused where it changes the
            features by more than 1%.
    """

    encoder_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    encoder: str = "vit_b"
    weights: Literal["random", "packaged"] | UserPath = "random"
    head: str = "conv_s"
    accept_licence: bool = False
    precision: Precision = "float32"

    @model_validator(mode="before")
    @classmethod
    def _own_weights(cls, values: object) -> object:
        if not isinstance(values, dict) or "weights" in values or values.get("encoder") not in encoder_names():
            return values
        return {**values, "weights": default_weights(values["encoder"])}

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, name: str, others: ValidationInfo[object]) -> str:
        if is_encoder_file(name):
            raise ValueError(NAMES_A_FILE)
        if problem := find_other_code(name, others.data.get("encoder_sha256", "")):
            raise ValueError(problem)
        return known_name(name, (*encoder_names(), RESNET18))

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        spec = encoder_spec(self.encoder) if self.encoder in encoder_names() else None
        if spec is not None and not spec.permissive and self.weights != "random" and not self.accept_licence:
            raise ValueError(
                f"weights: the licence of encoder {spec.name} is {spec.licence}; read its terms, and write "
                "accept_licence: true to accept them"
            )
        if self.weights == "packaged" and default_weights(self.encoder) != "packaged":
            raise ValueError(f"weights: encoder {self.encoder} has no packaged weights; write random or a path")
        return self

    def public(self) -> dict[str, Json]:
        """Return the section without paths; of the keys that came later, those that do not have their default."""
        values: dict[str, Json] = self.model_dump(mode="json")
        for key in _LATER_KEYS:
            if values[key] == type(self).model_fields[key].default:
                del values[key]
        if isinstance(self.weights, Path):
            values["weights"] = self.weights.name
        return values

    @field_validator("head")
    @classmethod
    def _known_head(cls, name: str) -> str:
        return known_name(name, (*head_names(), NCC))
