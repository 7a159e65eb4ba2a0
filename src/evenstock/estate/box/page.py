"""A comparison as one HTML page that needs nothing else: charts, tables, and how to make it again."""

from html import escape
from typing import Final

from evenstock.estate.box.charts import causes, frontier
from evenstock.estate.box.comparison import Comparison, Estimate

STYLE: Final = """
:root{color-scheme:light dark;--page:#fff;--panel:#f6f7f9;--text:#12181f;--muted:#4a5563;--bad:#890223}
@media(prefers-color-scheme:dark){:root{--page:#0f1419;--panel:#171d24;--text:#e6ebf0;--muted:#a3aebb;--bad:#e2705a}}
body{background:var(--page);color:var(--text);font:14px/1.45 system-ui,"Segoe UI",Roboto,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;margin:1rem 0}
th,td{text-align:right;padding:.3rem .5rem;border-bottom:1px solid var(--panel)}
th:first-child,td:first-child,td.words,th.words{text-align:left}
th{color:var(--muted);font-weight:500}svg{max-width:100%;height:auto;margin:.5rem 0}
p.muted{color:var(--muted)}li.bad{color:var(--bad)}code{background:var(--panel);padding:.1rem .3rem}
"""


def page(found: Comparison, command: str) -> str:
    """The whole page; `command` is what makes it again."""
    oversold = causes(
        found, "Oversold of 10,000 promised, by cause", [(p.policy, p.oversold_by) for p in found.policies]
    )
    lost = causes(found, "Lost of 10,000 wanted, by cause", [(p.policy, p.lost_by) for p in found.policies])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evenstock: {escape(found.estate)}</title><style>{STYLE}</style></head><body>
<h1>{escape(found.estate)}</h1>
<p>{escape(found.words)}. {found.hours:g} hours, {len(found.seeds)} seeds, {found.facts:,} facts in all. Every policy met the same customers.</p>
{frontier(found)}
{_policies(found)}
{oversold}
{lost}
{_details(found)}
{_findings(found)}
<p class="muted">Intervals are at 95 % over seeds. Made by <code>{escape(command)}</code>; the same command makes the same page.</p>
</body></html>
"""


def _policies(found: Comparison) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.policy)}</td><td class='words'>{escape(each.words)}</td><td>{_number(each.oversold)}</td>"
        f"<td>{_number(each.lost)}</td><td>{_number(each.shipped)}</td><td>{each.source_lag_p95_s.mean:,.1f}</td>"
        f"<td>{each.channel_lag_p95_s.mean:,.1f}</td><td>{each.calls.mean:,.0f}</td></tr>"
        for each in found.policies
    )
    return (
        "<table><thead><tr><th>policy</th><th class='words'></th><th>oversold of 10,000</th><th>lost of 10,000</th>"
        "<th>shipped of 10,000</th><th>shop to hub, p95 s</th><th>hub to channel, p95 s</th><th>calls</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _number(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:,.1f}"
    return f"{estimate.mean:,.1f} ({estimate.low:,.1f}–{estimate.high:,.1f})"


def _details(found: Comparison) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.policy)}</td><td class='words'>{kind}</td><td class='words'>{escape(cause.channel)}</td>"
        f"<td class='words'>{escape(cause.cause)}: {escape(cause.detail)}</td><td>{cause.rate:,.2f}</td></tr>"
        for each in found.policies
        for kind, entries in (("oversold", each.oversold_by), ("lost", each.lost_by))
        for cause in entries
    )
    return (
        "<details><summary>Every cause, by channel</summary><table><thead><tr><th>policy</th><th class='words'></th>"
        "<th class='words'>channel</th><th class='words'>cause</th><th>of 10,000</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _findings(found: Comparison) -> str:
    if not found.findings:
        return "<p>The referee found nothing: books, channels and orders agreed with the truth after every play.</p>"
    lines = "".join(
        f"<li class='bad'>seed {seed}, {escape(policy)}: {escape(finding.check)}: {escape(finding.words)}</li>"
        for seed, policy, finding in found.findings
    )
    return f"<h2>What the referee found</h2><ul>{lines}</ul>"
