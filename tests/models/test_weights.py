"""Encoder weights from files in the released format and as safetensors."""

import argparse
import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from medim.models.sam_med3d import build_sam3D_vit_b_ori

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import State, save_state, state_sha256
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D
from fedtune3d.models.weights import WeightsInfo, load_encoder_weights, randomise_encoder_weights


def tiny_state(seed: int = 5) -> State:
    encoder = build_encoder("tiny")
    initialise_random(encoder, seed)
    return dict(encoder.state_dict())


def released(state: State) -> dict[str, Any]:
    model = {f"image_encoder.{name}": tensor for name, tensor in state.items()}
    return {"model_state_dict": {**model, "prompt_encoder.no_mask_embed.weight": torch.zeros(1, 384)}, "epoch": 7}


@pytest.mark.ci
def test_a_checkpoint_of_the_reference_model_gives_its_features(tmp_path: Path) -> None:
    model = build_sam3D_vit_b_ori(encoder_depth=2, encoder_global_attn_indexes=[1])
    path = tmp_path / "sam_med3d.pth"
    torch.save({"model_state_dict": model.state_dict(), "args": argparse.Namespace(lr=1e-4)}, path)
    encoder = ImageEncoder3D(depth=2, global_attn_indexes=(1,))
    info = load_encoder_weights(encoder, path)
    assert info == WeightsInfo("sam_med3d.pth", hashlib.sha256(path.read_bytes()).hexdigest())
    scans = torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scans"))
    with torch.inference_mode():
        expected = model.image_encoder(scans)
        assert (encoder(scans) - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("prefix", ["", "image_encoder."])
def test_safetensors_load_with_and_without_the_prefix(tmp_path: Path, prefix: str) -> None:
    state = tiny_state()
    path = tmp_path / "encoder.safetensors"
    save_state(path, {prefix + name: tensor for name, tensor in state.items()})
    encoder = build_encoder("tiny")
    assert load_encoder_weights(encoder, path).source == "encoder.safetensors"
    assert state_sha256(dict(encoder.state_dict())) == state_sha256(state)


def test_training_leftovers_in_a_released_checkpoint_are_harmless(tmp_path: Path) -> None:
    state = tiny_state()
    path = tmp_path / "turbo.pth"
    extras = {"args": argparse.Namespace(lr=1e-4), "best_loss": np.float64(0.5), "losses": [np.float64(1.0)]}
    torch.save({**released(state), **extras}, path)
    encoder = build_encoder("tiny")
    load_encoder_weights(encoder, path)
    assert state_sha256(dict(encoder.state_dict())) == state_sha256(state)


def test_random_weights_say_so() -> None:
    encoder = build_encoder("tiny")
    info = randomise_encoder_weights(encoder, 5)
    assert info == WeightsInfo("random", state_sha256(tiny_state(5)))


def without(state: State, name: str) -> State:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda state: without(state, "pos_embed"),
            r"not the weights of this .*: no pos_embed \(1, 8, 8, 8, 48\)",
        ),
        (lambda state: {**state, "pos_embed": torch.zeros(2)}, r"pos_embed is \(2,\), expected \(1, 8, 8, 8, 48\)"),
        (lambda state: {**state, "extra": torch.zeros(2)}, "not the weights of this encoder: unknown extra"),
        (lambda state: {**state, "pos_embed": state["pos_embed"] / 0}, "pos_embed holds NaN or infinite values"),
        (lambda state: {**state, "pos_embed": state["pos_embed"].long()}, "pos_embed is not a tensor of floats"),
        (lambda state: {"fc.weight": torch.zeros(2)}, r"no pos_embed .*; and \d+ more"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_does_not_fit_is_named_and_changes_nothing(tmp_path: Path, suffix: str, spoil: Any, message: str) -> None:
    state, path = spoil(tiny_state()), tmp_path / f"odd{suffix}"
    if suffix == ".pth":
        torch.save(released(state), path)
    else:
        save_state(path, state)
    encoder = build_encoder("tiny")
    initialise_random(encoder, 1)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: .*{message}") as caught:
        load_encoder_weights(encoder, path)
    assert "\n" not in str(caught.value)
    assert state_sha256(dict(encoder.state_dict())) == state_sha256(tiny_state(1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "expected a state dict, or a dict with one under 'model_state_dict'.* got a dict with"),
        ([1, 2], "expected a state dict.* got list"),
        ({3: torch.zeros(1)}, "expected a state dict.* got a dict with 3"),
        ({"model_state_dict": {"encoder.weight": torch.zeros(1)}}, r"expected keys 'image_encoder.\*'.*encoder.weight"),
        ({"model_state_dict": partial(print)}, r"a Python object, functools\.partial, which could run code"),
        ({"weights": tiny_state(), "args": Path("/")}, r"a Python object, pathlib\.\w*Path"),
        ({**tiny_state(), "pos_embed": torch.zeros(2).to_sparse()}, "pos_embed is not a dense tensor"),
    ],
)
def test_another_kind_of_checkpoint_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match=message) as caught:
        load_encoder_weights(build_encoder("tiny"), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: no such file"):
        load_encoder_weights(build_encoder("tiny"), path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=re.escape(str(path))):
        load_encoder_weights(build_encoder("tiny"), path)
    torch.save(released(tiny_state()), tmp_path / "whole.pth")
    path.write_bytes((tmp_path / "whole.pth").read_bytes()[:100_000])
    with pytest.raises(InputError, match=re.escape(str(path))):
        load_encoder_weights(build_encoder("tiny"), path)


@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state}, lambda state: {"model": state}])
def test_a_plain_state_dict_is_read(tmp_path: Path, wrap: Any) -> None:
    state = tiny_state()
    whole = {f"image_encoder.{name}": tensor for name, tensor in state.items()} | {
        "mask_decoder.weight": torch.zeros(1)
    }
    torch.save(wrap(whole), tmp_path / "plain.pth")
    encoder = build_encoder("tiny")
    load_encoder_weights(encoder, tmp_path / "plain.pth")
    assert state_sha256(dict(encoder.state_dict())) == state_sha256(state)


def test_the_encoders_own_state_dict_is_read(tmp_path: Path) -> None:
    torch.save(tiny_state(), tmp_path / "encoder.pth")
    encoder = build_encoder("tiny")
    load_encoder_weights(encoder, tmp_path / "encoder.pth")
    assert state_sha256(dict(encoder.state_dict())) == state_sha256(tiny_state())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n<!DOCTYPE html>\n<html></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"", "empty; download it again"),
        (b"\x1f\x8b\x08 ", "a gzip archive"),
        (b"PK\x03\x04 nothing", "damaged"),
    ],
)
def test_no_advice_to_read_it_unsafely(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "sam_med3d_turbo.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_encoder_weights(build_encoder("tiny"), path)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)
