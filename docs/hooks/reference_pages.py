"""Fill the pages of the reference that are made from the code, when the site is built."""

import re

from command_line_reference import command_line_reference
from configuration_reference import configuration_reference
from run_folder_reference import run_folder_reference

GENERATED = {
    "configuration": configuration_reference,
    "command line": command_line_reference,
    "run folder": run_folder_reference,
}
PLACE = re.compile(r"<!-- generated: ([\w ]+) -->")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put what is generated in the place of ``<!-- generated: … -->``."""
    return PLACE.sub(lambda place: GENERATED[place[1]](), markdown)
