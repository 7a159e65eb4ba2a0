"""The colours and patterns of charts: light or dark as the reader has it, and never told apart by colour alone."""

from collections.abc import Sequence
from html import escape
from typing import Final

WIDTH: Final = 760

# Light, dark: no two close to each other, for any kind of colour blindness; and the pattern over it.
CAUSES: Final = {
    "stale channel": ("#2164CA", "#3594EF", ""),
    "late source": ("#905707", "#CA9E1D", "dots"),
    "physical drift": ("#692866", "#9D5892", "slash"),
    "accepted risk": ("#549BB3", "#6BDBF4", "lines"),
    "safety stock": ("#636467", "#A6A6A6", "back"),
    "offline store": ("#9E8A17", "#F5F38E", "cross"),
    "hub": ("#72170C", "#C34208", ""),
}
POLICY: Final = ("#2164CA", "#3594EF")
_PATTERNS: Final = {
    "dots": '<circle cx="3" cy="3" r="1.2"/>',
    "slash": '<path d="M-1 7L7 -1"/>',
    "back": '<path d="M-1 -1L7 7"/>',
    "lines": '<path d="M0 3H6"/>',
    "cross": '<path d="M-1 7L7 -1M-1 -1L7 7"/>',
}


def figure(height: int, title: str, body: Sequence[str]) -> str:
    """One chart, which stands by itself as a file too."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"{_style()}<defs>{_patterns()}</defs>"
        f'<rect class="sheet" width="{WIDTH}" height="{height}" rx="6"/>'
        f'<text class="title" x="20" y="30">{escape(title)}</text>{"".join(body)}</svg>'
    )


def block(cause: str, x: float, y: float, width: float, height: float, words: str = "") -> str:
    """A part of a bar, or a key of it, in the colour and pattern of its cause."""
    pattern = CAUSES[cause][2]
    size = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"'
    told = f"<title>{escape(words)}</title>" if words else ""
    over = f'<rect {size} fill="url(#{pattern})"/>' if pattern else ""
    return f'<g>{told}<rect class="c-{_slug(cause)} part" {size}/>{over}</g>'


def _style() -> str:
    def theme(index: int, page: str, text: str, muted: str) -> str:
        fills = "".join(f".c-{_slug(cause)}{{fill:{each[index]}}}" for cause, each in CAUSES.items())
        return (
            f".sheet{{fill:{page}}}svg text{{fill:{text};stroke:{page}}}svg .muted{{fill:{muted}}}.axis{{stroke:{muted}}}"
            f".part{{stroke:{page}}}.pattern{{stroke:{page}}}.pattern circle{{fill:{page}}}"
            f".point{{fill:{POLICY[index]};stroke:{page}}}.span{{stroke:{POLICY[index]}}}{fills}"
        )

    return (
        "<style>svg text{font:13px system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-variant-numeric:tabular-nums;"
        "paint-order:stroke;stroke-width:4px;stroke-linejoin:round}svg .title{font-size:16px;font-weight:600}"
        ".axis{stroke-width:1}.grid{stroke-width:1;opacity:.2}.span{stroke-width:2;opacity:.45}.point{stroke-width:1.5}"
        ".pattern{fill:none;stroke-width:1;opacity:.75}"
        + theme(0, "#FFFFFF", "#12181F", "#4A5563")
        + "@media(prefers-color-scheme:dark){"
        + theme(1, "#0F1419", "#E6EBF0", "#A3AEBB")
        + "}</style>"
    )


def _patterns() -> str:
    return "".join(
        f'<pattern id="{name}" class="pattern" width="6" height="6" patternUnits="userSpaceOnUse">{drawn}</pattern>'
        for name, drawn in _PATTERNS.items()
    )


def _slug(cause: str) -> str:
    return cause.replace(" ", "-")
