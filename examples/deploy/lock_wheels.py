"""Write `requirements.txt` with the SHA-256 of each wheel into a folder of wheels, so that pip installs these only.

python examples/deploy/lock_wheels.py wheels
"""

import hashlib
import sys
from pathlib import Path


def requirement(wheel: Path) -> str:
    """The line of a wheel: ``name==version --hash=sha256:…``."""
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-')}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def main(folder: Path) -> None:
    """Write the file."""
    lines = sorted(requirement(wheel) for wheel in folder.glob("*.whl"))
    if not lines:
        sys.exit(f"{folder}: no wheels there; `make wheels` makes them")
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
