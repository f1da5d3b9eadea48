"""Several units with a node and a data set each, and banks that train one model over all of them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from policies.model import Agreement, Disclosure, Privacy, terms_digest
from policies.sign import activated_payload, proposed_payload
from policies.standing import FederationStanding
from tests.lib.realm import BUREAU, DIGEST, PARTNER, STAFF, Realm
from yingbi.canonical import digest_bytes
from yingbi.clock import parse_time
from yingbi.events.fields import Duty
from yingbi.events.outputs import DisclosureMode
from yingbi.ids import dataset_id, new_id
from yingbi.sealing import ResultKey
from yingbi.statement import Statement, sign

__all__ = ["OPERATION", "OTHER", "RECIPE", "TERMS", "Alliance", "digest"]

OTHER = "partner:bank-b"
RECIPE = "logistic_regression"
OPERATION = f"train.horizontal.{RECIPE}"


def digest(of: object) -> str:
    """Return a digest of its own for each small thing."""
    return digest_bytes(str(of).encode())


TERMS = "sha256:" + "7" * 64


class Alliance(Realm):
    """A realm of units `a`, `b`, …; `recorded` are the types of the entries that had an effect, by index."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: dict[int, str] = {}

    def take(self, statement: Statement) -> Statement:
        """Record a statement as the next entry."""
        super().take(statement)
        self.recorded[self.standing.size - 1] = str(statement.type)
        return statement

    def settle(self, names: Sequence[str]) -> "Alliance":
        """Make the bureau, two banks and the units, and let everybody agree with the first bank."""
        self.found()
        for person, (employer, duty) in STAFF.items():
            if employer == BUREAU and person != "person:sec":
                self.register(person, BUREAU)
                self.grant(person, duty, "person:sec")
        self.admit(PARTNER, "bank")
        self.admit(OTHER, "bank")
        for name in names:
            self.add(name)
        return self

    def forked(self) -> "Alliance":
        """Return one that goes its own way, with the same keys."""
        own = Alliance()
        own.keys, own.texts, own.at, own.entries = self.keys, self.texts, self.at, list(self.entries)
        own.standing, own.recorded = self.standing.fork(), dict(self.recorded)
        return own

    def add(self, name: str, unit: str | None = None) -> None:
        """Take a unit in with its officer, node and data, and agree; or give a unit that is there another node."""
        owner = unit or f"unit:{name}"
        if unit is None:
            self.admit(owner, "source-unit")
        self.register(f"person:cdo-{name}", owner)
        self.grant(f"person:cdo-{name}", Duty.UNIT_CDO, owner)
        self.register(f"node:{name}", owner)
        found = self.dataset(name)
        entry = {"owner": owner, "catalogue_entry": DIGEST, "privacy_unit": "enterprise", "openness": "conditional"}
        self.say("dataset.registered", found, entry, owner)
        self.say("dataset.versioned", found, {"version": 1, "schema_digest": DIGEST, "content": DIGEST}, f"node:{name}")
        self.say("dataset.graded", found, self.grades(), owner)
        self.agree_with(name, owner)

    @staticmethod
    def dataset(name: str) -> str:
        """Return the id of a unit's data set."""
        return dataset_id(f"{name}/credit")

    def agree_with(
        self, name: str, owner: str, *, partner: str = PARTNER, private: bool = False, contributors: int = 3
    ) -> Agreement:
        """Bring an agreement about a unit's data into force."""
        mode = DisclosureMode.PRIVATE if private else DisclosureMode.EXACT
        plain = self.terms()
        terms = self.terms(
            id=f"agr-{name}-{partner.removeprefix('partner:')}-{mode}-{contributors}",
            assigner=owner,
            assignee=partner,
            zones=(f"node:{name}",),
            datasets=(type(plain.datasets[0])(name=f"{name}/credit", privacy_unit="uscc"),),
            operations=("train",),
            disclosure=Disclosure(mode=mode, min_contributors=contributors),
            privacy=Privacy(epsilon=Decimal(4), delta=Decimal("0.000001")) if private else None,
            jobs=1000,
        )
        self.texts[terms_digest(terms)] = terms
        at, officer = parse_time(self.at), f"person:cdo-{name}"
        self.take(sign(proposed_payload(terms, issuer=officer, on_behalf_of=owner, at=at), [self.key(officer)]))
        self.register(f"person:second-{terms.id}", owner)
        self.grant(f"person:second-{terms.id}", Duty.UNIT_CDO, owner)
        self.take(self.signature(terms, f"person:second-{terms.id}", Duty.UNIT_CDO))
        self.take(self.signature(terms, "person:approver", Duty.BUREAU_APPROVER))
        self.take(sign(activated_payload(terms, issuer=BUREAU, on_behalf_of=None, at=at), [self.key(BUREAU)]))
        return terms

    def terms_of(self, name: str, **how: object) -> Agreement:
        """Return an agreement about a unit's data that is in force."""
        partner = str(how.get("partner", PARTNER)).removeprefix("partner:")
        mode = DisclosureMode.PRIVATE if how.get("private") else DisclosureMode.EXACT
        found = self.standing.agreements.get(f"agr-{name}-{partner}-{mode}-{how.get('contributors', 3)}")
        assert found is not None
        return found.agreement

    def start_job(self, name: str, *, terms: Agreement | None = None, **changes: object) -> str:
        """Submit, approve, lease and start a member job at a unit's node."""
        terms = terms or self.terms_of(name)
        job = new_id("job")
        asked = {"agreement": terms.id, "operation": OPERATION, "datasets": self.versions(name), **changes}
        self.say("job.submitted", job, self.submitted(**asked), terms.assignee)
        self.say("job.approved", job, self.approval(terms), BUREAU)
        self.start_again(job, name, 1, terms=terms, datasets=asked["datasets"])
        body = {"job": job, "measure": "jobs", "amount": "1", "remaining": "2"}
        self.say("budget.reserved", new_id("budget"), body, f"node:{name}")
        return job

    def start_again(self, job: str, name: str, attempt: int, **how: object) -> None:
        """Lease and start an attempt of a job."""
        terms = how.get("terms") or self.terms_of(name)
        assert isinstance(terms, Agreement)
        lease = {"node": f"node:{name}", "attempt": attempt, "expires_at": self.later(minutes=5)}
        self.say("job.leased", job, lease, BUREAU)
        body = self.started(terms, attempt=attempt, datasets=how.get("datasets", self.versions(name)))
        self.say("job.started", job, body, f"node:{name}")

    def versions(self, *names: str) -> list[dict[str, object]]:
        """Return the versions of units' data sets that jobs name."""
        return [{"dataset": self.dataset(name), "version": 1} for name in names]

    # --- federations -------------------------------------------------------------------------------------------------

    def joining(self, federation: str, job: str, name: str, **changes: object) -> Statement:
        """Return what a node joins with."""
        body = {"job": job, "attempt": 1, "terms": TERMS, "key": ResultKey.generate().public, **changes}
        return self.statement("federation.joined", federation, body, f"node:{name}")

    def members(self, jobs: Mapping[str, str], attempt: int = 1) -> list[dict[str, object]]:
        """Return the members of a federation by the names of their units."""
        return [{"node": f"node:{name}", "job": jobs[name], "attempt": attempt} for name in sorted(jobs)]

    def starting(
        self, federation: str, jobs: Mapping[str, str], *, by: str = BUREAU, attempt: int = 1, **changes: object
    ) -> Statement:
        """Return what starts a federation."""
        body: dict[str, object] = {"recipe": RECIPE, "app": DIGEST, "terms": TERMS}
        body |= {"members": self.members(jobs, attempt), "quorum": len(jobs), "rounds": 3, "epsilon": None, **changes}
        return self.statement("federation.started", federation, body, by)

    def federate(self, jobs: Mapping[str, str], **changes: object) -> str:
        """Let jobs join a federation and start it."""
        federation = new_id("fed")
        for name, job in jobs.items():
            self.take(self.joining(federation, job, name))
        self.take(self.starting(federation, jobs, **changes))  # type: ignore[arg-type]
        return federation

    def of(self, federation: str) -> FederationStanding:
        """Return a federation as it stands."""
        found = self.standing.federations.get(federation)
        assert found is not None
        return found

    def round_starting(self, federation: str, *, by: str = BUREAU, **changes: object) -> Statement:
        """Return what opens the next attempt of the next round for all who may take part."""
        life = self.of(federation).life
        body = {
            "round": len(life.completed) + 1,
            "attempt": life.attempts + 1,
            "participants": list(life.present),
            "round_input": life.result or digest("first"),
            "expires_at": self.later(minutes=10),
        }
        return self.statement("federation.round_started", federation, {**body, **changes}, by)

    def contributing(self, federation: str, name: str, *, by: str | None = None, **changes: object) -> Statement:
        """Return what a unit's node gives to the open attempt."""
        found = self.of(federation)
        job = next((item.job for item in found.members if item.node == f"node:{name}"), "job-none")
        body = {"job": job, "rho": None, **self.place(federation), **changes}
        body = {"round_input": found.attempt.round_input if found.attempt else digest("first"), **body}
        body = {"contribution": digest((name, body["round"], body["attempt"])), **body}
        return self.statement("federation.contributed", federation, body, by or f"node:{name}")

    def place(self, federation: str) -> dict[str, object]:
        """Return the round and the attempt that are open."""
        attempt = self.of(federation).attempt
        return {"round": attempt.round, "attempt": attempt.number} if attempt else {"round": 1, "attempt": 1}

    def round_ending(self, federation: str, *, by: str = BUREAU, **changes: object) -> Statement:
        """Return what ends the open attempt with the sum of what came."""
        attempt = self.of(federation).attempt
        came = attempt.contributions if attempt else {}
        body = {
            "contributions": [{"party": node, "digest": came[node]} for node in sorted(came)],
            "aggregate": digest("sum"),
            "state": digest(("state", self.standing.size)),
            **self.place(federation),
        }
        return self.statement("federation.round_completed", federation, {**body, **changes}, by)

    def giving_up(self, federation: str, **changes: object) -> Statement:
        """Return what ends the open attempt without a sum."""
        return self.round_ending(federation, **{"aggregate": None, "state": None, **changes})  # type: ignore[arg-type]

    def interrupting(self, federation: str, *, by: str = BUREAU, **changes: object) -> Statement:
        """Return what interrupts a federation."""
        body = {"reason": "member-lost", "rounds": len(self.of(federation).completed), **changes}
        return self.statement("federation.interrupted", federation, body, by)

    def aborting(self, federation: str, *, by: str = BUREAU, **changes: object) -> Statement:
        """Return what ends a federation for good."""
        body = {"reason": "request", "rounds": len(self.of(federation).completed), "note": None, **changes}
        return self.statement("federation.aborted", federation, body, by)

    def completing(self, federation: str, *, by: str = BUREAU, **changes: object) -> Statement:
        """Return what says that a federation has its result."""
        life = self.of(federation).life
        body = {
            "rounds": len(life.completed) or 1,
            "participants": list(life.completed[-1].participants if life.completed else life.present),
            "result": life.result or DIGEST,
            "rho": None,
        }
        return self.statement("federation.completed", federation, {**body, **changes}, by)

    def run_round(self, federation: str, **changes: object) -> None:
        """Let a round be completed by all who may take part."""
        self.take(self.round_starting(federation))
        for node in self.of(federation).life.present:
            self.take(self.contributing(federation, node.removeprefix("node:"), **changes))  # type: ignore[arg-type]
        self.take(self.round_ending(federation))

    def release(self, job: str, name: str) -> Statement:
        """Check a member job's candidate, and return what releases it."""
        node = f"node:{name}"
        body = {"job": job, "candidate": DIGEST, "rules": DIGEST, "verdict": "pass", "findings": []}
        self.say("output.checked", new_id("out"), body, node)
        return self.released(job, by=node)
