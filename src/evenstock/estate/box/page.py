"""A comparison as one HTML page that needs nothing else: charts, a table behind each, and how to make it again."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Final

from evenstock.estate.box.charts import causes, frontier
from evenstock.estate.box.comparison import Cause, Compared, Comparison, Estimate, by_cause

STYLE: Final = """
:root{color-scheme:light dark;--page:#fff;--panel:#f6f7f9;--text:#12181f;--muted:#4a5563;--line:#7a8594;--bad:#890223;--focus:#0b57d0}
@media(prefers-color-scheme:dark){:root{--page:#0f1419;--panel:#171d24;--text:#e6ebf0;--muted:#a3aebb;--line:#6c7886;--bad:#e2705a;
--focus:#9cc4ff}}
body{background:var(--page);color:var(--text);font:14px/1.45 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;max-width:64rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:28px;margin:0}h2{font-size:20px;margin:2.5rem 0 .25rem}p{max-width:46rem;margin:.4rem 0}.muted,caption,small{color:var(--muted)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;margin:.5rem 0}
caption{text-align:left;padding:.3rem 0}td,th{text-align:right;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--panel)}
thead th{color:var(--muted);font-weight:500;border-bottom-color:var(--line)}tbody th{font-weight:600}small{display:block;font-weight:400}
.words{text-align:left}td{white-space:nowrap}figure{margin:1rem 0}figure>svg{display:block;max-width:100%;height:auto}
summary{cursor:pointer;color:var(--muted);padding:.3rem 0}summary:focus-visible,.wide:focus-visible{outline:2px solid var(--focus);outline-offset:2px}
li.bad{color:var(--bad)}code{background:var(--panel);padding:.1rem .3rem;overflow-wrap:anywhere}
"""
MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0

Part = Callable[[Compared], Sequence[Cause]]


def page(found: Comparison, command: str) -> str:
    """The whole page; `command` is what makes it again."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(found.estate)}: policies compared</title><style>{STYLE}</style></head><body><main>
<h1>{escape(found.estate)}</h1>
<p>{escape(found.words[:1].upper() + found.words[1:])}. {found.hours:g} hours, {len(found.seeds)} seeds, {found.facts:,} facts.</p>
<p class="muted">Every policy met the same customers and the same faults. What follows ± is the interval at 95 % over seeds.</p>
<figure>{frontier(found)}<figcaption class="muted">Left and low is best. The table below holds the same figures.</figcaption></figure>
{_policies(found)}
<h2>Oversold: promised, and not there</h2>
{_by_cause(found, "Units oversold of 10,000 promised", lambda each: each.oversold_by)}
<h2>Lost: there, and not offered</h2>
{_by_cause(found, "Units lost of 10,000 wanted", lambda each: each.lost_by)}
<h2>Channels</h2>
{_channels(found)}
<h2>The referee</h2>
{_findings(found)}
<p class="muted">Made by <code>{escape(command)}</code>; the same command makes the same page.</p>
</main></body></html>
"""


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table whose first column names the row; the first `words` columns are text."""

    def cell(index: int, text: str) -> str:
        kind = ' class="words"' if index < words else ""
        return f'<th scope="row"{kind}>{text}</th>' if index == 0 else f"<td{kind}>{text}</td>"

    head = "".join(
        f'<th scope="col"{" class=words" if index < words else ""}>{escape(name)}</th>'
        for index, name in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(cell(index, text) for index, text in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _policies(found: Comparison) -> str:
    first = found.policies[0].policy
    heads = (
        "policy", "oversold", f"against {first}", "lost", f"against {first}", "shipped", "shop to hub", "hub to channel", "calls",
    )  # fmt: skip
    rows = [
        (
            f"{escape(each.policy)}<small>{escape(each.words)}</small>",
            _number(each.oversold),
            "" if each.policy == first else _number(each.oversold_change, "+"),
            _number(each.lost),
            "" if each.policy == first else _number(each.lost_change, "+"),
            _number(each.shipped),
            _span(each.source_lag_p95_s.mean),
            _span(each.channel_lag_p95_s.mean),
            f"{each.calls.mean:,.0f}",
        )
        for each in found.policies
    ]
    return _table("Of 10,000 units promised or wanted; delays that 95 % stay under", heads, rows)


def _by_cause(found: Comparison, title: str, part: Part) -> str:
    sums = {each.policy: by_cause(part(each)) for each in found.policies}
    kinds = list(dict.fromkeys(cause for parts in sums.values() for cause in parts))
    if not kinds:
        return "<p>None, under any policy.</p>"
    rows = [
        (escape(each.policy), *(f"{sums[each.policy].get(kind, 0.0):,.1f}" for kind in kinds))
        for each in found.policies
    ]
    details = [
        (escape(each.policy), escape(cause.channel), f"{escape(cause.cause)}: {escape(cause.detail)}", f"{cause.rate:,.2f}")
        for each in found.policies
        for cause in part(each)
    ]  # fmt: skip
    heads = ("policy", "channel", "cause", "of 10,000")
    return (
        f"<figure>{causes(title, [(each.policy, part(each)) for each in found.policies])}</figure>"
        f"{_table(title + ', by cause', ('policy', *kinds), rows)}"
        f"<details><summary>By channel and detail</summary>{_table(title + ', by channel and detail', heads, details, 3)}</details>"
    )


def _channels(found: Comparison) -> str:
    rows = [
        (
            escape(each.policy),
            escape(channel.channel),
            f"{channel.wanted:,.0f}",
            f"{channel.accepted:,.0f}",
            f"{channel.calls:,.0f}",
            f"{channel.calls_part:.1%}",
            _span(channel.lag_p95_s),
        )
        for each in found.policies
        for channel in each.channels
    ]
    heads = ("policy", "channel", "units wanted", "promised", "calls", "of its limit", "delay, 95 %")
    return _table("A day of each channel, on average", heads, rows, 2)


def _number(estimate: Estimate, sign: str = "") -> str:
    """`20.5 ± 3.1`: the half of the interval that is not cut off."""
    mean = f"{round(estimate.mean, 1) + 0.0:{sign},.1f}".replace("-", "−")  # + 0.0: never minus zero
    return mean if estimate.high is None else f"{mean} ± {estimate.high - estimate.mean:,.1f}"


def _span(seconds: float) -> str:
    if seconds >= HOUR_S:
        return f"{seconds / HOUR_S:,.1f} h"
    if seconds >= MINUTE_S:
        return f"{seconds / MINUTE_S:,.1f} min"
    return f"{seconds:,.1f} s"


def _findings(found: Comparison) -> str:
    if not found.findings:
        return (
            "<p>✓ After every play books, channels, orders and facts agreed with the truth, to the unit.</p>"
        )
    lines = "".join(
        f"<li class='bad'>■ seed {seed}, {escape(policy)}: {escape(finding.check)}: {escape(finding.words)}</li>"
        for seed, policy, finding in found.findings
    )
    return f"<ul>{lines}</ul>"
