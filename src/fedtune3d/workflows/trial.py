"""One trial of a study in its own process, so that its memory is its own and a crash affects no other trial.

`python -m fedtune3d.workflows.trial` reads a line of `config.handover` and runs its experiment. It exits when its
standard input is closed, so that no trial outlives a killed study.
"""

import json
import os
import sys
import threading
import traceback

from fedtune3d._utils.errors import InputError
from fedtune3d.config.handover import from_line
from fedtune3d.workflows.run import run_experiment


def main() -> None:
    """Run the experiment read from standard input; the last line of standard output is its outcome as JSON."""
    line = sys.stdin.readline()
    threading.Thread(target=_exit_with_study, daemon=True).start()
    fault = None
    try:
        run_experiment(from_line(line), resume=True)
    except InputError as error:
        fault = str(error)
    except Exception as error:
        traceback.print_exc()
        fault = f"{type(error).__name__}: {error}"
    print(json.dumps({"fault": fault}), flush=True)


def _exit_with_study() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
