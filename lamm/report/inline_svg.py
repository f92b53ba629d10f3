"""matplotlib figures as SVG inside a page: text stays text, and no two figures share an id."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
_SETTINGS: dict[str, Any] = {"svg.fonttype": "none", "text.parse_math": False, "svg.hashsalt": "lamm", "font.size": 11}


@contextmanager
def page_style() -> Iterator[None]:
    """matplotlib's settings for figures of the page; no `$` in a name is taken for a formula."""
    import matplotlib

    settings: Any = _SETTINGS
    with matplotlib.rc_context(settings):
        yield


def figure_svg(figure: "Figure", prefix: str, label: str, tooltips: Mapping[str, str] | None = None) -> str:
    """A figure as an `<svg>` element.

    Args:
        figure: Drawn within `page_style`.
        prefix: Of all its ids; unique in the page.
        label: What it shows, for those who can't see it.
        tooltips: By the gid of an artist, what its tooltip says.
    """
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return inline(text.getvalue(), prefix, label, tooltips)


def inline(svg: str, prefix: str, label: str, tooltips: Mapping[str, str] | None = None) -> str:
    """The text of an SVG file as an `<svg>` element that takes the width it is given; see `figure_svg`."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    for gid, said in (tooltips or {}).items():
        svg = svg.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(said)}</title>', 1)
    svg = re.sub(r"<[^>]*>", lambda tag: _of_this_drawing(tag.group(), prefix), svg)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version|xmlns:xlink|xmlns)="[^"]*"', "", opening)
    opening = opening.replace("xlink:", "")
    return f'{opening} role="img" aria-label="{escape(label)}">{rest}'


def _of_this_drawing(tag: str, prefix: str) -> str:
    """A tag with ids, and what refers to them, of its own; text between tags may look like either."""
    tag = re.sub(r'(?<=\s)(?:d|x|y|transform)="[^"]*"', _rounded, tag)
    tag = re.sub(r'(?<=\s)id="([^"]+)"', rf'id="{prefix}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", tag)
    tag = re.sub(r'\bhref="#([^"]+)"', rf'href="#{prefix}-\1"', tag.replace(" xlink:href=", " href="))
    return re.sub(r"'DejaVu Sans'(?:, '[^']+')*, sans-serif", FONTS, tag)


def _rounded(attribute: re.Match[str]) -> str:
    """An attribute of places, with hundredths of a point and on one line."""
    return re.sub(r"(\.\d\d)\d+", r"\1", " ".join(attribute.group().split()))
