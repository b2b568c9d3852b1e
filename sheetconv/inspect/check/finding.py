"""What a check finds, and how much of it is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST = 20  # findings of one rule in one part; the rest is counted


@dataclass(frozen=True)
class Breach:
    """A breach of a rule: where it is (part, and cell or ""), what was found, and why it matters."""

    rule: str
    part: str
    cell: str
    what: str
    why: str

    def __str__(self) -> str:
        where = f"{self.part}!{self.cell}" if self.cell else self.part
        return f"{where}: {self.what}; {self.why} [{self.rule}]"


@dataclass
class Breaches:
    """All findings so far; of each rule in each part the first ones."""

    found: list[Breach] = field(default_factory=list)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, rule: str, part: str, cell: str, what: str, why: str) -> None:
        """Keep a finding, unless there are many of its kind already."""
        self.counted[rule, part] += 1
        if self.counted[rule, part] <= MOST:
            self.found.append(Breach(rule, part, cell, what, why))

    def closed(self) -> list[Breach]:
        """The findings, with a line for those that were only counted."""
        more = [
            Breach(rule, part, "", f"{count - MOST:,} more of the same", "see above")
            for (rule, part), count in self.counted.items()
            if count > MOST
        ]
        return [*self.found, *more]
