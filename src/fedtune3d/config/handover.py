"""Hand an experiment over to another process on this machine, with the encoders' files that were installed here."""

import json
from collections.abc import Mapping

from fedtune3d.config.experiment import Experiment
from fedtune3d.models.encoders import install_encoder, installed_encoders


def installed_files() -> dict[str, str]:
    """Return the encoders' files that were installed in this process: path → SHA-256."""
    return {str(own.path): own.sha256 for own in installed_encoders()}


def install_files(files: Mapping[str, str]) -> None:
    """Install the encoders' files of `installed_files` in this process. Raises `InputError` if one has changed."""
    for path, sha256 in files.items():
        install_encoder(path, sha256)


def to_line(experiment: Experiment) -> str:
    """Return the experiment as a line of JSON for the standard input of a process that this one starts."""
    return json.dumps({"encoders": installed_files(), "experiment": experiment.model_dump(mode="json")}) + "\n"


def from_line(line: str) -> Experiment:
    """Install the encoders' files and return the experiment of a line of `to_line`.

    Raises:
        InputError: If an encoder's file has changed since.
    """
    values = json.loads(line)
    install_files(values["encoders"])
    return Experiment.model_validate_json(json.dumps(values["experiment"]))
