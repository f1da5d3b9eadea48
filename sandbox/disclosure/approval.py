"""What a person's decision on a held candidate lets the release door do, and what never."""

from dataclasses import dataclass

from sandbox.disclosure.verdict import Finding
from yingbi.events.outputs import CheckVerdict

__all__ = ["Approval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """People looked at a held candidate and let it out, less what its rules fail and, if they want, what they reviewed.

    `candidate` is the digest of what they saw: an approval is of that and of nothing else. `findings` are those they
    saw: one that is new holds the candidate again. `suppress_reviewed`: values under review are held back too.
    Failures are never approved.
    """

    candidate: str
    findings: tuple[Finding, ...]
    suppress_reviewed: bool = False

    def covers(self, candidate: str, finding: Finding) -> bool:
        """Return whether this finding of this candidate was seen and may be overruled."""
        seen = {(one.risk, one.rule, one.dimension) for one in self.findings}
        is_seen = (finding.risk, finding.rule, finding.dimension) in seen
        return candidate == self.candidate and finding.verdict is CheckVerdict.REVIEW and is_seen
