"""The table: promise, faults, runs, violations."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.chaos.checks import Finding
from tests.chaos.world import Fault

_HEAD = ("promise", "what", "faults", "runs", "violations", "note")


def print_table(faults: Sequence[Fault], findings: Iterable[Finding]) -> None:
    kinds = Counter(fault.kind for fault in faults)
    print("Faults: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    ordered = sorted(findings, key=lambda finding: int(finding.promise[1:]))
    rows = [_HEAD, *(_row(finding) for finding in ordered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for finding in ordered:
        if finding.violations:
            print(f"{finding.promise} broken: {finding.shown}")


def _row(finding: Finding) -> tuple[str, ...]:
    numbers = (str(finding.faults), str(finding.runs), str(len(finding.violations)))
    return (finding.promise, finding.what, *numbers, finding.note)
