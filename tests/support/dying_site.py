"""A site that is killed in each step of secure aggregation in turn; run in place of the project: `site join FOLDER`.

How often it has died is kept in the file that the environment names in `DEATHS`. It dies when it is asked for a step,
or, in every other life, when it has done the step and its answer has not left.
"""

import os
import signal
from pathlib import Path

from fedtune3d.cli.app import main
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.site.site import Site

STEPS = ("train", "share_secrets", "mask_update", "confirm_survivors", "reveal_shares")
answer = Site.answer


def dying(site: Site, task: Task) -> Answer:
    """Answer as a site does, unless it is time to die."""
    deaths = Path(os.environ["DEATHS"])
    lives = len(deaths.read_text()) if deaths.exists() else 0
    if lives == len(STEPS) or task.kind != STEPS[lives]:
        return answer(site, task)
    if lives % 2:
        answer(site, task)
    with deaths.open("a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    Site.answer = dying  # type: ignore[method-assign]
    main()
