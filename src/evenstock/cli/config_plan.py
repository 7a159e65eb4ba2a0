"""What applying a configuration would change: made, changed in which fields, left as it is. Nothing is ever taken away."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from evenstock.cli.config_file import Claim, Configuration

SHOWN_MAX: Final = 60  # characters of a value
KEPT_WHEN_UNSAID: Final = ("name",)  # a name that is not given stays


class Difference(msgspec.Struct, frozen=True):
    """One field that would change."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        before, after = _shown(self.before), _shown(self.after)
        return f"{self.field}: changed" if before == after else f"{self.field}: {before} → {after}"


class Step(msgspec.Struct, frozen=True):
    """One thing of the configuration, and what applying does to it."""

    kind: Literal["location", "connection", "channel", "owner"]
    id: str
    action: Literal["create", "change", "nothing"]
    differences: list[Difference] = []


class Plan(msgspec.Struct, frozen=True):
    """All steps, in the order in which they are done, and what is there and not in the file."""

    steps: list[Step]
    not_in_file: list[str]

    @property
    def changes(self) -> list[Step]:
        return [step for step in self.steps if step.action != "nothing"]

    def ids(self, kind: str) -> set[str]:
        """Which of a kind are made or changed."""
        return {step.id for step in self.changes if step.kind == kind}


Now = dict[str, list[dict[str, Any]]]  # by kind: what is configured


def plan_of(wanted: Configuration, now: Now) -> Plan:
    """What a configuration would change of what is configured now."""
    steps: list[Step] = []
    left: list[str] = []
    groups: tuple[tuple[Any, list[dict[str, Any]]], ...] = (
        ("location", _rows(wanted.locations)),
        ("connection", _rows(wanted.connections)),
        ("channel", _rows(wanted.channels)),
        ("owner", [_claim(claim) for claim in wanted.claims]),
    )
    for kind, rows in groups:
        there = {row["id"]: row for row in now[kind]}
        steps += [_step(kind, row, there.get(row["id"])) for row in rows]
        left += [f"{kind} {id_}" for id_ in there if id_ not in {row["id"] for row in rows}]
    return Plan(steps, left)


def _rows(records: Sequence[msgspec.Struct]) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(record) for record in records]


def _claim(claim: Claim) -> dict[str, Any]:
    """A claim by what it is to: each scope of a domain has one."""
    return {"id": f"{claim.domain} {claim.scope}", "owner": claim.claimant}


def _step(kind: Any, row: dict[str, Any], before: dict[str, Any] | None) -> Step:
    if before is None:
        return Step(kind, row["id"], "create")
    differences = [
        Difference(field, before.get(field), value)
        for field, value in row.items()
        if field != "settings"
        and before.get(field) != value
        and not (value is None and field in KEPT_WHEN_UNSAID)
    ]
    settings, stood = row.get("settings", {}), before.get("settings", {})
    differences += [
        Difference(name, stood.get(name), settings.get(name))
        for name in sorted(settings.keys() | stood.keys())
        if settings.get(name) != stood.get(name)
    ]
    return Step(kind, row["id"], "change" if differences else "nothing", differences)


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
