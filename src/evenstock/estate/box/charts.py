"""Charts as SVG that stands by itself: light or dark as the reader has it, no script, nothing fetched."""

from collections.abc import Sequence
from html import escape
from typing import Final

from evenstock.estate.box.comparison import Cause, Comparison, by_cause

# Light, dark: chosen so that no two are close to each other, for any kind of colour blindness.
COLOURS: Final = {
    "stale channel": ("#2164CA", "#3594EF"),
    "late source": ("#905707", "#CA9E1D"),
    "physical drift": ("#692866", "#9D5892"),
    "policy": ("#549BB3", "#6BDBF4"),
    "safety stock": ("#636467", "#A6A6A6"),
    "offline store": ("#9E8A17", "#F5F38E"),
    "hub": ("#72170C", "#C34208"),
}
WIDTH: Final = 760
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 56, 56
HEIGHT: Final = 420
LABEL_APART: Final = 18
BAR, BAR_APART = 22, 14


def _style() -> str:
    def theme(index: int, page: str, text: str, muted: str) -> str:
        fills = "".join(f".c-{_slug(cause)}{{fill:{pair[index]}}}" for cause, pair in COLOURS.items())
        return (
            f".page{{fill:{page}}}text{{fill:{text}}}.muted{{fill:{muted}}}.axis{{stroke:{muted}}}"
            f".point{{fill:{COLOURS['stale channel'][index]}}}.span{{stroke:{COLOURS['stale channel'][index]}}}{fills}"
        )

    return (
        "<style>text{font:13px system-ui,'Segoe UI',Roboto,sans-serif;font-variant-numeric:tabular-nums}"
        ".title{font-size:16px;font-weight:600}.axis{stroke-width:1}.span{stroke-width:2;opacity:.45}"
        + theme(0, "#FFFFFF", "#12181F", "#4A5563")
        + "@media(prefers-color-scheme:dark){"
        + theme(1, "#0F1419", "#E6EBF0", "#A3AEBB")
        + "}</style>"
    )


def _slug(cause: str) -> str:
    return cause.replace(" ", "-")


def _svg(height: int, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"{_style()}"
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>'
        f'<text class="title" x="20" y="30">{escape(title)}</text>{"".join(body)}</svg>'
    )


def frontier(found: Comparison) -> str:
    """Oversell against lost sales, one point a policy, with its interval at 95 %."""
    widest = _ceiling(max((each.lost.high or each.lost.mean) for each in found.policies))
    highest = _ceiling(max((each.oversold.high or each.oversold.mean) for each in found.policies))
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(rate: float) -> float:
        return LEFT + across * rate / widest

    def y(rate: float) -> float:
        return TOP + down * (1 - rate / highest)

    body = _axes(widest, highest, x(0), y(0), across, down)
    label_at = float("inf")
    for each in sorted(found.policies, key=lambda each: each.oversold.mean):
        over, lost = each.oversold, each.lost
        if over.low is not None and over.high is not None and lost.low is not None and lost.high is not None:
            body += [
                f'<line class="span" x1="{x(lost.low):.1f}" x2="{x(lost.high):.1f}" y1="{y(over.mean):.1f}" y2="{y(over.mean):.1f}"/>',
                f'<line class="span" x1="{x(lost.mean):.1f}" x2="{x(lost.mean):.1f}" y1="{y(over.low):.1f}" y2="{y(over.high):.1f}"/>',
            ]
        label_at = min(y(over.mean) + 4, label_at - LABEL_APART)
        words = f"{each.policy}: {over.mean:,.1f} oversold, {lost.mean:,.1f} lost"
        body += [
            f'<circle class="point" cx="{x(lost.mean):.1f}" cy="{y(over.mean):.1f}" r="5"><title>{escape(words)}</title></circle>',
            f'<text x="{x(lost.mean) + 10:.1f}" y="{label_at:.1f}">{escape(each.policy)}</text>',
        ]
    return _svg(HEIGHT, f"Oversell against lost sales: {found.estate}, {len(found.seeds)} seeds", body)


def _axes(widest: float, highest: float, x0: float, y0: float, across: int, down: int) -> list[str]:
    body = [
        f'<line class="axis" x1="{x0}" x2="{x0 + across}" y1="{y0}" y2="{y0}"/>',
        f'<line class="axis" x1="{x0}" x2="{x0}" y1="{y0}" y2="{y0 - down}"/>',
        f'<text class="muted" x="{x0 + across / 2}" y="{y0 + 42}" text-anchor="middle">units lost of 10,000 wanted</text>',
        f'<text class="muted" transform="translate(18 {y0 - down / 2}) rotate(-90)" text-anchor="middle">units oversold of 10,000 promised</text>',
    ]
    for step in range(5):
        part = step / 4
        body += [
            f'<text class="muted" x="{x0 + across * part:.1f}" y="{y0 + 20}" text-anchor="middle">{widest * part:,.4g}</text>',
            f'<text class="muted" x="{x0 - 8}" y="{y0 - down * part + 4:.1f}" text-anchor="end">{highest * part:,.4g}</text>',
        ]
    return body


def causes(found: Comparison, title: str, of: Sequence[tuple[str, Sequence[Cause]]]) -> str:
    """Stacked bars, one a policy, by cause; the numbers stand beside them."""
    totals = [(name, by_cause(parts)) for name, parts in of]
    longest = _ceiling(max((sum(parts.values()) for _, parts in totals), default=0.0))
    across = WIDTH - 130 - 90
    body, y = [], TOP
    for name, parts in totals:
        body.append(f'<text x="120" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        x = 130.0
        for cause, rate in parts.items():
            width = across * rate / longest
            body.append(
                f'<rect class="c-{_slug(cause)}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}">'
                f"<title>{escape(name)}, {cause}: {rate:,.1f}</title></rect>"
            )
            x += width
        body.append(f'<text x="{x + 8:.1f}" y="{y + 16}">{sum(parts.values()):,.1f}</text>')
        y += BAR + BAR_APART
    x = 130.0
    for cause in dict.fromkeys(cause for _, parts in totals for cause in parts):
        body.append(f'<rect class="c-{_slug(cause)}" x="{x:.0f}" y="{y + 6}" width="12" height="12"/>')
        body.append(f'<text class="muted" x="{x + 17:.0f}" y="{y + 17}">{cause}</text>')
        x += 30 + 7.2 * len(cause)
    return _svg(y + 36, f"{title}: {found.estate}", body)


def _ceiling(value: float) -> float:
    """A round number at or above it, for the end of an axis."""
    for power in range(-1, 7):
        for digit in (1, 2, 4, 5, 8):
            if digit * 10.0**power >= value:
                return digit * 10.0**power
    return value
