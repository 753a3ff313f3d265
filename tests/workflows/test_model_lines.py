"""The lines of an experiment file about encoder, weights and head."""

import yaml

from fedtune3d.models.encoders import encoder_names, encoder_spec
from fedtune3d.workflows.model_lines import model_lines


def test_every_encoder_is_written_with_its_head_and_where_its_weights_come_from() -> None:
    for name in encoder_names():
        spec, text = encoder_spec(name), model_lines(encoder_spec(name))
        assert yaml.safe_load(text) == {"encoder": name, "head": spec.head}
        assert ("pre-trained; its weights come with" in text) == spec.is_packaged
        assert ("its weights are random" in text) == (not spec.is_packaged)
        assert ("accept_licence" in text) == (not spec.permissive)
        assert spec.release is None or spec.is_packaged or f"weights: {spec.release.file} (docs/weights.md)" in text
