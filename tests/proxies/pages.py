"""Reads the samples out of the documentation, so that what is tested is what readers copy.

A block that belongs to a file names it after its language: ```` ```nginx agents.conf ````. The addresses that the pages
use are those of the defaults; `fill_in` puts the ones of a test in their place.
"""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^```\S+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The ports that the pages' samples name, by whose they are.
PORTS = {"proxy": 8080, "keys": 8081, "upstream": 8283, "hallpass": 8284}


def samples(page):
    """The page's blocks that are files, by name."""
    found = FENCE.findall((DOCS / page).read_text())
    names = [name for name, _ in found]
    assert len(set(names)) == len(names), f"{page}: two blocks are called the same: {names}"
    return dict(found)


def fill_in(text, ports, paths):
    """Replaces the pages' ports by real ones and the pages' paths by those of a test.

    Each must occur, or a sample has changed unnoticed.
    """
    for name, port in ports.items():
        text, count = re.subn(rf"\b{PORTS[name]}\b", str(port), text)
        assert count, f"the sample doesn't name the port {PORTS[name]} of {name}"
    for shown, real in paths.items():
        assert shown in text, f"the sample doesn't name the path {shown}"
        text = text.replace(shown, str(real))
    return text
