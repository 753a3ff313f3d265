"""Do the first tutorial, and put its report and its figure into the documentation: `make sample`.

python tests/support/sample_report.py FOLDER
"""

import shutil
import sys
from pathlib import Path

from doc_pages import DOCS, Reader


def main() -> None:
    """Follow the page in a new folder, and copy what it makes."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    Reader(folder.resolve()).follow(DOCS / "tutorials" / "first-run.md")
    run = folder / "demo" / "run"
    shutil.copy(run / "report.html", DOCS / "sample" / "report.html")
    shutil.copy(run / "figures" / "auc_per_site.png", DOCS / "figures" / "first_run_auc_per_site.png")


if __name__ == "__main__":
    main()
