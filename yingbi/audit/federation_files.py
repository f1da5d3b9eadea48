"""Which terms and contributions a bundle holds, and which it should hold and does not (docs/spec/bundle.md)."""

from collections.abc import Collection, Iterator

from yingbi.audit.case import Case
from yingbi.audit.contributions import Evidence, terms_path, vector_path
from yingbi.audit.federations import FederationStory

__all__ = ["bundle_paths", "chosen_federations"]


def bundle_paths(
    case: Case, evidence: Evidence | None, jobs: Collection[str] | None
) -> tuple[Iterator[tuple[str, bytes]], tuple[str, ...]]:
    """Return paths and bytes of the evidence of federations that jobs are members of, and paths that are not here.

    All federations where no jobs are chosen; nothing at all without evidence.
    """
    if evidence is None:
        return iter(()), ()
    wanted, needed = set[str](), set[str]()
    for story in chosen_federations(case, jobs):
        wanted |= _named(story)
        needed |= _needed(story)
    found = sorted(wanted & set(evidence.paths))
    return _read(evidence, found), tuple(sorted(needed - set(found)))


def chosen_federations(case: Case, jobs: Collection[str] | None) -> tuple[FederationStory, ...]:
    """Return the federations that were started with one of these jobs; all that were where no jobs are chosen.

    Of ids that differ only in how their letters are written the first one counts: an archive cannot hold both.
    """
    found: dict[str, FederationStory] = {}
    for story in case.federations.values():
        if story.members and (jobs is None or any(item.job in jobs for item in story.members)):
            found.setdefault(story.id.casefold(), story)
    return tuple(found.values())


def _named(story: FederationStory) -> set[str]:
    """Return the paths of everything that entries name."""
    given = ((item.body, one.node) for item in story.attempts for one in item.given)
    return {terms_path(story.id)} | {vector_path(story.id, body.round, body.attempt, node) for body, node in given}


def _needed(story: FederationStory) -> set[str]:
    """Return the paths of what it takes to compute all rounds again."""
    summed = ((item.body, node) for item in story.rounds if item.completed is not None for node in item.completed.named)
    found = {vector_path(story.id, body.round, body.attempt, node) for body, node in summed}
    return {terms_path(story.id)} | found if found else found


def _read(evidence: Evidence, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        data = evidence.read(path)
        if data is not None:
            yield path, data
