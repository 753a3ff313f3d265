"""Sentences on a page: an interval stays on one line, and a command looks like one."""

import re

from markupsafe import Markup, escape

NUMBER = r"[−+]?\d[\d.]*%?"
CODE = re.compile(r"`([^`]+)`")
INTERVAL = re.compile(rf"\(?95% CI {NUMBER}(?:–| to ){NUMBER}\)?|{NUMBER} \[{NUMBER}, {NUMBER}\]")


def unbroken(text: str) -> Markup:
    """Escape a sentence for a page, with each interval (`95% CI 0.76–0.96`, `0.81 [0.74, 0.88]`) kept on one line."""
    return Markup(INTERVAL.sub(r'<span class="interval">\g<0></span>', str(escape(text))))


def with_code(text: str) -> Markup:
    """Do the same as `unbroken`, with what stands between backticks as code."""
    return Markup(CODE.sub(r"<code>\g<1></code>", str(unbroken(text))))
