"""Charts of a comparison, as SVG that stands by itself: no script, nothing fetched."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from evenstock.estate.box.comparison import Cause, Compared, Comparison, Estimate, by_cause
from evenstock.estate.box.ink import WIDTH, block, figure

LEFT, RIGHT, TOP, BOTTOM = 76, 100, 60, 60
HEIGHT: Final = 440
STEPS: Final = 4  # of an axis
BAR, BAR_APART, BARS_LEFT, BARS_RIGHT = 22, 14, 130, 90
LETTER: Final = 7.6  # width, about
LINE: Final = 17.0
AWAY: Final = (12.0, 26.0, 44.0, 66.0, 90.0, 118.0)  # of a label from its point
DOT: Final = 6.0


class Box(NamedTuple):
    """What something covers."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def frontier(found: Comparison) -> str:
    """Oversell against lost sales, one point a policy, with its interval at 95 %; left and low is best."""
    widest = _ceiling(max(_most(each.lost) for each in found.policies))
    highest = _ceiling(max(_most(each.oversold) for each in found.policies))
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    body = list(_axes(widest, highest, across, down))
    points = []
    for each in found.policies:
        x = [LEFT + across * rate / widest for rate in _triple(each.lost)]
        y = [TOP + down * (1 - rate / highest) for rate in _triple(each.oversold)]
        points.append((each, x[0], y[0]))
        body += [
            f'<line class="span" x1="{x[1]:.1f}" x2="{x[2]:.1f}" y1="{y[0]:.1f}" y2="{y[0]:.1f}"/>',
            f'<line class="span" x1="{x[0]:.1f}" x2="{x[0]:.1f}" y1="{y[1]:.1f}" y2="{y[2]:.1f}"/>',
        ]
    body += _labelled(points)
    seeds = f"{len(found.seeds)} {'seed' if len(found.seeds) == 1 else 'seeds'}"
    return figure(HEIGHT, f"Oversell against lost sales: {found.estate}, {seeds}", body)


def _labelled(points: Sequence[tuple[Compared, float, float]]) -> Iterator[str]:
    """The points, and beside each its name where there is room for it."""
    taken = [Box(x - DOT, y - DOT, x + DOT, y + DOT) for _, x, y in points]
    for each, x, y in sorted(points, key=lambda point: (point[2], point[1])):
        width = LETTER * len(each.policy)
        crowded = Box(x + DOT, y - LINE, x + DOT + width, y)  # beyond help: over the others
        free = (spot for spot in _spots(x, y, width) if not any(spot.overlaps(other) for other in taken))
        box = next(free, crowded)
        taken.append(box)
        nearest = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
        if math.dist((x, y), nearest) > AWAY[0] + 2:
            yield f'<line class="axis" x1="{x:.1f}" y1="{y:.1f}" x2="{nearest[0]:.1f}" y2="{nearest[1]:.1f}"/>'
        words = f"{each.policy}: {each.oversold.mean:,.1f} oversold, {each.lost.mean:,.1f} lost of 10,000"
        yield f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="{DOT}"><title>{escape(words)}</title></circle>'
        yield f'<text x="{box.left:.1f}" y="{box.bottom - 4:.1f}">{escape(each.policy)}</text>'


def _spots(x: float, y: float, width: float) -> Iterator[Box]:
    """Where a name may stand, best first: to the right, above, beside, to the left; then further away."""
    for away in AWAY:
        for left, top in (
            (x + away, y - LINE / 2),
            (x - width / 2, y - LINE - away),
            (x + away, y - LINE - away / 2),
            (x + away, y + away / 2),
            (x - away - width, y - LINE / 2),
            (x - away - width, y - LINE - away / 2),
        ):
            if left > LEFT and left + width < WIDTH and TOP - LINE < top < HEIGHT - BOTTOM:
                yield Box(left, top, left + width, top + LINE)


def _triple(estimate: Estimate) -> tuple[float, float, float]:
    """The mean and its interval, which is the mean itself when there was one seed."""
    low = estimate.mean if estimate.low is None else estimate.low
    return estimate.mean, low, _most(estimate)


def _most(estimate: Estimate) -> float:
    return estimate.mean if estimate.high is None else estimate.high


def _axes(widest: float, highest: float, across: int, down: int) -> Iterator[str]:
    bottom = TOP + down
    for step in range(STEPS + 1):
        part = step / STEPS
        x, y = LEFT + across * part, bottom - down * part
        kind = "grid axis" if step else "axis"
        yield f'<line class="{kind}" x1="{LEFT}" x2="{LEFT + across}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{TOP}"/>'
        yield f'<text class="muted" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{widest * part:,.4g}</text>'
        yield f'<text class="muted" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{highest * part:,.4g}</text>'
    middle = TOP + down / 2
    yield f'<text class="muted" x="{LEFT + across / 2}" y="{bottom + 44}" text-anchor="middle">units lost of 10,000 wanted</text>'
    yield (
        f'<text class="muted" transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">'
        "units oversold of 10,000 promised</text>"
    )


def causes(title: str, of: Sequence[tuple[str, Sequence[Cause]]]) -> str:
    """Stacked bars, one a policy, by cause; the sums stand beside them."""
    totals = [(name, by_cause(parts)) for name, parts in of]
    longest = _ceiling(max((sum(parts.values()) for _, parts in totals), default=0.0))
    scale = (WIDTH - BARS_LEFT - BARS_RIGHT) / longest
    order = list(dict.fromkeys(cause for _, parts in totals for cause in parts))
    body, y = [], TOP - 10
    for name, parts in totals:
        body.append(f'<text x="{BARS_LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        x = float(BARS_LEFT)
        for cause in order:
            if rate := parts.get(cause, 0.0):
                body.append(block(cause, x, y, scale * rate, BAR, f"{name}, {cause}: {rate:,.1f}"))
                x += scale * rate
        body.append(f'<text x="{x + 8:.1f}" y="{y + 16}">{sum(parts.values()):,.1f}</text>')
        y += BAR + BAR_APART
    x = float(BARS_LEFT)
    for cause in order:
        body.append(block(cause, x, y + 6, 14, 14))
        body.append(f'<text class="muted" x="{x + 20:.0f}" y="{y + 18}">{cause}</text>')
        x += 34 + LETTER * len(cause)
    return figure(y + 36, title, body)


def _ceiling(value: float) -> float:
    """A round number at or above it, for the end of an axis."""
    for power in range(-1, 7):
        for digit in (1, 1.2, 1.6, 2, 2.4, 2.8, 3.2, 4, 5, 6, 8):
            if digit * 10.0**power >= value:
                return digit * 10.0**power
    return value
