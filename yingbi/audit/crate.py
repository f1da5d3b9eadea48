"""The bundle described to machines: RO-Crate 1.2 metadata in the Five Safes profile 0.4 (docs/spec/bundle.md).

What the profile calls a workflow is here the closed set of operations; a request and its run are one `CreateAction`, an
approval or refusal is a `SignOff`, a check of an output a `DisclosureCheck`. People and organisations are the log's
parties, which are pseudonyms.
"""

from collections.abc import Iterable
from typing import Any, Final

from policies.jobs import JobState
from yingbi.audit.case import Case
from yingbi.audit.facts import Fact
from yingbi.audit.stories import Story
from yingbi.events import EntryType
from yingbi.events.outputs import CheckVerdict, OutputChecked

__all__ = ["describe_crate"]

_PROFILE: Final = "https://w3id.org/5s-crate/0.4"
_CRATE: Final = "https://w3id.org/ro/crate/1.2"
_OPERATIONS: Final = "#operations"
_CONDITIONS: Final = "#conditions"
_SHP: Final = "https://w3id.org/shp#"
_STATUS: Final = "http://schema.org/{}ActionStatus"
_DONE: Final = frozenset({JobState.RELEASED, JobState.DELIVERED, JobState.DESTROYED})
_WAITING: Final = frozenset({JobState.SUBMITTED, JobState.APPROVED, JobState.LEASED})
_RUNNING: Final = frozenset({JobState.STARTED, JobState.INTERRUPTED, JobState.HELD})
_JUDGED: Final = (
    EntryType.JOB_APPROVED,
    EntryType.JOB_REFUSED,
    EntryType.OUTPUT_CHECKED,
    EntryType.OUTPUT_HELD,
)
_FOLDERS: Final = {
    "log/": ("The log", "Checkpoint with its signatures, tiles, and entries (C2SP tlog-tiles)"),
    "receipts/": ("Receipts", "Proofs that entries are in the log (C2SP tlog-proof)"),
    "documents/": ("Documents", "Agreements and catalogue entries, by the SHA-256 digest that entries name"),
    "anchors/": ("Anchors", "Proofs that heads of the log stand on a chain"),
    "federations/": ("Federations", "Their terms, and the masked contributions to their rounds"),
    "report/": ("The report", "What the log says, for people, with the same as JSON and CSV"),
}

Entity = dict[str, Any]


def describe_crate(case: Case, stories: Iterable[Story], paths: Iterable[str], identifier: str) -> Entity:
    """Return the metadata document of a bundle with these payload files."""
    told = [story for story in stories if story.request is not None]
    folders = [name for name in _FOLDERS if any(path.startswith(f"data/{name}") for path in paths)]
    actions = [entity for story in told for entity in _actions(case, story)]
    mentioned = [entity["@id"] for entity in actions if entity["@type"].endswith("Action")]
    projects = sorted({story.request.agreement for story in told if story.request is not None})
    reading = case.reading
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "identifier": identifier,
        "name": f"Evidence of the log {reading.origin} up to size {reading.size}",
        "description": "A transparency log with the receipts and documents that belong to it, for offline audit",
        "datePublished": reading.until or "1970-01-01T00:00:00Z",
        "license": _ref(_CONDITIONS),
        "hasPart": [_ref(name) for name in ("bundle.json", *folders)],
    }
    if (bureau := _bureau(case)) is not None:
        root["publisher"] = _ref(f"#{bureau}")
    if told:
        root |= {
            "conformsTo": _ref(_PROFILE),
            "mainEntity": _ref(_OPERATIONS),
            "mentions": [_ref(name) for name in mentioned],
            "sourceOrganization": _one([_ref(f"#{name}") for name in projects]),
        }
    entities = [
        {
            "@id": "ro-crate-metadata.json",
            "@type": "CreativeWork",
            "about": _ref("./"),
            "conformsTo": _ref(_CRATE),
        },
        root,
        {
            "@id": _CONDITIONS,
            "@type": "CreativeWork",
            "name": "Conditions of the agreements that the log names",
            "description": "Who may use which result for what is said in the agreements, among the documents",
        },
        {
            "@id": "bundle.json",
            "@type": "File",
            "name": "What is in this bundle",
            "description": "Of which log, for which jobs, with documents or not",
            "encodingFormat": "application/json",
        },
        *map(_folder, folders),
        *(_of_profile(projects) if told else ()),
        *actions,
        *_parties(case, told),
        *([] if bureau is None else [_organization(bureau)]),
    ]
    return {"@context": f"{_CRATE}/context", "@graph": _unique(entities)}


def _of_profile(projects: Iterable[str]) -> Iterable[Entity]:
    yield {"@id": _PROFILE, "@type": ["CreativeWork", "Profile"], "name": "Five Safes RO-Crate profile"}
    yield {"@id": _OPERATIONS, "@type": "Dataset", "name": "The closed set of operations of Yingbi"}
    for name in projects:
        yield {"@id": f"#{name}", "@type": "Project", "name": f"Agreement {name}", "identifier": name}


def _actions(case: Case, story: Story) -> Iterable[Entity]:
    yield _run(story)
    for fact in story.of(EntryType.JOB_APPROVED, EntryType.JOB_REFUSED):
        said = "approved" if fact.type is EntryType.JOB_APPROVED else "refused"
        objects = [_ref("./"), _ref(_OPERATIONS), _ref(f"#{story.request.agreement}")] if story.request else []
        yield _assess(case, fact, "SignOff", f"Sign-off of {story.job} under its agreement: {said}", objects)
    for fact in story.of(EntryType.OUTPUT_CHECKED, EntryType.OUTPUT_HELD):
        passed = isinstance(fact.body, OutputChecked) and fact.body.verdict is CheckVerdict.PASS
        said = "passed" if passed else "not passed"
        yield _assess(case, fact, "DisclosureCheck", f"Disclosure check of {story.job}: {said}", [_ref("./")])
    if story.released is not None:
        yield {
            "@id": f"#result-{story.job}",
            "@type": "DigitalDocument",
            "name": f"Result of {story.job}, sealed to who asked for it",
            "identifier": [story.released.content, story.released.ciphertext],
        }


def _run(story: Story) -> Entity:
    start = next(story.of(EntryType.JOB_STARTED), None)
    agent = _asker(story)
    operation = "" if story.request is None else story.request.operation
    action: Entity = {
        "@id": f"#{story.job}",
        "@type": "CreateAction",
        "name": f"Computation {operation} of {story.job}",
        "actionStatus": _STATUS.format(_status(story.state)),
        "agent": _ref(agent),
        "instrument": _ref(_OPERATIONS),
    }
    if start is not None:
        action["startTime"] = start.time
        action["endTime"] = story.steps[-1].time
    if story.released is not None:
        action["result"] = _ref(f"#result-{story.job}")
    return action


def _assess(case: Case, fact: Fact, kind: str, name: str, objects: list[Entity]) -> Entity:
    agents = _agents(case, fact)
    return {
        "@id": f"#entry-{fact.index}",
        "@type": "AssessAction",
        "additionalType": _ref(_SHP + kind),
        "name": name,
        "endTime": fact.time,
        "object": _one(objects),
        "agent": _one([_ref(f"#{agent}") for agent in agents]),
        "actionStatus": _STATUS.format("Completed"),
        "identifier": f"{case.reading.origin} entry {fact.index}",
    }


def _status(state: JobState | None) -> str:
    if state in _DONE:
        return "Completed"
    if state in _WAITING:
        return "Potential"
    return "Active" if state in _RUNNING else "Failed"


def _asker(story: Story) -> str:
    """Return the person who asked; who signs with an organisation's own key is a person whom the log does not name."""
    first = next(story.of(EntryType.JOB_SUBMITTED))
    issuer = first.statement.payload.issuer
    return f"#{issuer}" if issuer.startswith("person:") else f"#holder-of-the-key-of-{issuer}"


def _parties(case: Case, stories: Iterable[Story]) -> Iterable[Entity]:
    for story in stories:
        projects = [] if story.request is None else [_ref(f"#{story.request.agreement}")]
        yield _person(_asker(story), story.partner, projects)
        yield _organization(str(story.partner))
        for fact in story.of(*_JUDGED):
            for name in _agents(case, fact):
                employer = case.people.employer(name)
                yield _person(f"#{name}", employer, []) if name.startswith("person:") else _organization(name)
                if employer is not None:
                    yield _organization(employer)


def _agents(case: Case, fact: Fact) -> list[str]:
    """Return the people who judged; where a machine did, the organisation that answers for it."""
    issuer = fact.statement.payload.issuer
    return sorted(fact.people) or [case.people.employer(issuer) or issuer]


def _bureau(case: Case) -> str | None:
    owners = (record.owner for record in case.reading.keys.records)
    return next((owner for owner in owners if owner is not None and owner.startswith("bureau:")), None)


def _folder(name: str) -> Entity:
    title, description = _FOLDERS[name]
    return {"@id": name, "@type": "Dataset", "name": title, "description": description}


def _organization(name: str) -> Entity:
    return {"@id": f"#{name}", "@type": "Organization", "name": name}


def _person(name: str, employer: str | None, projects: list[Entity]) -> Entity:
    person: Entity = {"@id": name, "@type": "Person", "name": name.removeprefix("#")}
    if employer is not None:
        person["affiliation"] = _ref(f"#{employer}")
    return {**person, "memberOf": _one(projects)} if projects else person


def _one(items: list[Entity]) -> Entity | list[Entity]:
    """Return a value as RO-Crate wants it: a list only where there are several."""
    return items[0] if len(items) == 1 else items


def _unique(entities: Iterable[Entity]) -> list[Entity]:
    """Return entities once each; of two with one id the one that says more stands."""
    found: dict[str, Entity] = {}
    for entity in entities:
        name = entity["@id"]
        if name not in found or len(entity) > len(found[name]):
            found[name] = entity
    return list(found.values())


def _ref(name: str) -> Entity:
    return {"@id": name}
