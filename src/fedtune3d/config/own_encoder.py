"""An encoder in a file of the user's own: named by path in a file that the user runs, else by name and SHA-256.

A path is followed in `install_named_encoders` alone, which reads the user's own YAML. An experiment that comes from a
server is validated, and validation loads no code.
"""

from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.user_paths import expand_path
from fedtune3d.models.encoders import encoder_names, encoder_spec, install_encoder

NAMES_A_FILE = (
    "expected a name, got a file, which is code: it is loaded only from a file that you run yourself. Across hospitals "
    "write encoder: NAME and encoder_sha256: SHA-256, and list the file under `encoders` in site.yaml and server.yaml"
)


def is_encoder_file(encoder: object) -> bool:
    """Return whether `encoder` in a YAML file is the path of a Python file, not a name."""
    return isinstance(encoder, str) and encoder.endswith(".py")


def install_named_encoders(section: object, path: Path) -> object:
    """Install the encoder files that a section names, and put their names and SHA-256 in their place.

    Args:
        section: The `model` of an experiment file, or the `encoders` of a study file; others are returned as they are.
        path: The file, which the user runs; paths in it are relative to its folder.

    Raises:
        InputError: If an encoder's file cannot be installed.
    """
    if isinstance(section, list):
        entries = ({"encoder": entry} if is_encoder_file(entry) else entry for entry in section)
        return [install_named_encoders(entry, path) for entry in entries]
    if not isinstance(section, dict) or not is_encoder_file(section.get("encoder")):
        return section
    try:
        file = expand_path(section["encoder"])
    except ValueError as error:
        raise InputError(f"{path}: encoder: {error}") from None
    own = install_encoder(path.absolute().parent / str(file), str(section.get("encoder_sha256", "")))
    return {**section, "encoder": own.name, "encoder_sha256": own.sha256}


def find_other_code(name: str, sha256: str) -> str | None:
    """Return why the encoder of this name here is not the one meant; None if it is, or no such one is known here.

    Args:
        name: The encoder's name.
        sha256: SHA-256 of its file; empty for an encoder of this package.
    """
    if name not in encoder_names():
        if not sha256:
            return None
        return (
            f"encoder {name} is a file of its own (SHA-256 {sha256}) that is not installed here: list it under "
            f"`encoders` in site.yaml or server.yaml, or, in one process, write encoder: ./{name}.py"
        )
    here = encoder_spec(name).code_sha256
    if here == sha256:
        return None
    if not here:
        return f"encoder {name} is part of fedtune3d and has no file of its own; leave out encoder_sha256"
    wanted = f"expected SHA-256 {sha256}; get the same file" if sha256 else "but none is given; write encoder_sha256"
    return f"encoder {name}: the file installed here has SHA-256 {here}, {wanted}"


def require_code_of_run(config: object, run: Path) -> None:
    """Check that the encoder of a run, if it is a file of its own, is installed in this process.

    Args:
        config: The resolved configuration of the run.
        run: Its folder, for the message.

    Raises:
        InputError: If it is not, or another file is.
    """
    name, sha256 = named_code(config)
    if sha256 and find_other_code(name, sha256):
        raise InputError(
            f"{run}: its encoder {name} is a file of its own, which a run does not keep; give the file with SHA-256 "
            f"{sha256} as --encoder {name}.py"
        )


def named_code(config: object) -> tuple[str, str]:
    """Return the name and SHA-256 of the encoder in a resolved configuration; empty where they are missing."""
    model = config.get("model") if isinstance(config, dict) else None
    section = model if isinstance(model, dict) else {}
    name, sha256 = section.get("encoder"), section.get("encoder_sha256")
    return name if isinstance(name, str) else "", sha256 if isinstance(sha256, str) else ""
