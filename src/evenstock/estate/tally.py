"""What was sent, what came back, and how fast: the numbers of a drive."""

import math
from collections import Counter
from typing import Final

from evenstock.estate.hub import Answer, Answers
from evenstock.estate.links import Delivery

FINENESS: Final = 50  # steps of a duration for each factor e: 2 % wide


class Durations:
    """How long things took, in steps of 2 %, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self._steps[round(math.log(max(seconds, 1e-6)) * FINENESS)] += 1

    def percentile(self, percent: float) -> float:
        """The duration that so many percent did not exceed, in ms; 0 when there was none."""
        wanted = math.ceil(self._steps.total() * percent / 100)
        for step in sorted(self._steps):
            wanted -= self._steps[step]
            if wanted <= 0:
                return math.exp(step / FINENESS) * 1000
        return 0.0


class Tally:
    """Counts of a drive."""

    def __init__(self) -> None:
        self.sent = 0  # events, repeats included
        self.facts = 0  # different ones
        self.late = 0
        self.sent_again = 0
        self.outcomes: Counter[str] = Counter()
        self.held_lines = 0
        self.released = 0  # lines
        self.movements = 0  # of facts that were applied; corrections by counts come on top
        self.requests = 0
        self.took = Durations()
        self.ledger_seq = 0
        self.surprises: list[str] = []  # answers that an honest sender does not expect

    def answered(self, deliveries: list[Delivery], answers: Answers) -> None:
        """A request was answered."""
        self.requests += 1
        self.took.add(answers.took_s)
        self.ledger_seq = max(self.ledger_seq, answers.ledger_seq or 0)
        for delivery, answer in zip(deliveries, answers.results, strict=True):
            self._count(delivery, answer)

    def _count(self, delivery: Delivery, answer: Answer) -> None:
        first = delivery.kind == "first"
        self.sent += 1
        self.facts += first
        self.sent_again += not first
        self.late += first and delivery.late
        self.outcomes[answer.outcome] += 1
        self.held_lines += len(answer.held_lines)
        if answer.outcome == "applied":
            self.movements += delivery.fact.moves
        expected = {"applied", "held", "parked", "duplicate"} if first else {"duplicate"}
        if answer.outcome not in expected or answer.code == "event.key_reused":
            self.surprises.append(
                f"{delivery.fact.id}: {answer.outcome} {answer.code or ''} {answer.detail or ''}".strip()
            )
