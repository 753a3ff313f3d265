"""Keeping an interval in a sentence on one line of a page."""

import re

from markupsafe import Markup, escape

NUMBER = r"[−+]?\d[\d.]*%?"
INTERVAL = re.compile(rf"\(?95% CI {NUMBER}(?:–| to ){NUMBER}\)?|{NUMBER} \[{NUMBER}, {NUMBER}\]")


def unbroken(text: str) -> Markup:
    """Escape a sentence for a page, with each interval (`95% CI 0.76–0.96`, `0.81 [0.74, 0.88]`) kept on one line."""
    return Markup(INTERVAL.sub(r'<span class="interval">\g<0></span>', str(escape(text))))
