"""Certificates: who says what of them, what is never issued, and that what is derived stays below its parent."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from policies.certificates.life import ENDED, CertificateState
from policies.certificates.scope import widenings
from policies.certificates.status_list import Status
from policies.standing import Rule, StatementRefusedError, UnknownTermsError
from policies.standing.refusals import MissingSignaturesError
from tests.lib.realm import BUREAU, DIGEST, NODE, PARTNER, UNIT
from tests.lib.registry import BANK_B, CLERK, EXPERT, FIRM, LICENSED, REGISTERED, Registry
from yingbi.clock import format_time, parse_time
from yingbi.errors import SandboxError
from yingbi.events.fields import Duty
from yingbi.statement import Statement

Act = Callable[[Registry], object]


@cache
def settled() -> Registry:
    return Registry().settle()


@pytest.fixture
def registry() -> Registry:
    return settled().forked()


def refused(registry: Registry, act: Act, rule_: Rule, match: str | None = None) -> None:
    """Require that something is refused, and that nothing of it is left."""
    before = summary(registry)
    with pytest.raises(StatementRefusedError, match=match) as caught:
        act(registry)
    assert caught.value.rule is rule_
    assert summary(registry) == before


def summary(registry: Registry) -> object:
    found = registry.standing.certificates
    return list(found.applications()), list(found.items())


# --- the way to a certificate ----------------------------------------------------------------------------------------


def test_a_registration_is_issued_to_who_applied(registry: Registry) -> None:
    number = registry.issue()
    found = registry.certificate(number)
    assert (found.state, found.holder, found.parent) == (CertificateState.ACTIVE, UNIT, None)
    assert found.entry == registry.standing.size - 1
    assert number == "DAC-440304-2026-000001-2"
    (application,) = registry.standing.certificates.applications()
    assert (application.state, application.number) == (CertificateState.ACTIVE, number)
    assert registry.is_active(number)


def test_replaying_the_entries_rebuilds_everything(registry: Registry) -> None:
    number = registry.issue()
    licence = registry.license(number)
    registry.suspend(licence)
    again = registry.fresh()
    for index, statement in enumerate(registry.entries):
        again.take(statement, index=index, at=statement.payload.issued_at)
    assert list(again.certificates.items()) == list(registry.standing.certificates.items())
    assert list(again.certificates.applications()) == list(registry.standing.certificates.applications())


def test_a_subject_gets_its_values_without_asking_the_public(registry: Registry) -> None:
    scope = replace(LICENSED, datasets={}, operations=frozenset(), purposes=frozenset({"credit.sme"}))
    number = registry.issue("first", FIRM, "subject-value", scope)
    assert registry.certificate(number).holder == FIRM
    registry.present(number, FIRM)
    refused(registry, lambda r: r.present(number, PARTNER), Rule.FOUR_EYES)


def test_at_the_counter_clerk_and_applicant_sign(registry: Registry) -> None:
    def apply(r: Registry, *signers: str, channel: str = "counter") -> None:
        body = {"asset_class": "subject-value", "registration": "first", "channel": channel, "application": DIGEST}
        r.say("certificate.submitted", "app-1", body, *signers, on_behalf_of=FIRM)

    refused(registry, lambda r: apply(r, CLERK), Rule.FOUR_EYES, FIRM)
    refused(registry, lambda r: apply(r, FIRM), Rule.FOUR_EYES, "counter-clerk")
    refused(registry, lambda r: apply(r, CLERK, FIRM, channel="online"), Rule.SIGNER)
    apply(registry, CLERK, FIRM)
    assert registry.application_of("app-1").applicant == FIRM


def test_people_apply_for_whom_they_work_for(registry: Registry) -> None:
    body = {"asset_class": "licence", "registration": "licence", "channel": "online", "application": DIGEST}
    registry.say("certificate.submitted", "app-1", body, "person:officer", on_behalf_of=PARTNER)
    assert registry.application_of("app-1").applicant == PARTNER
    refused(
        registry,
        lambda r: r.say("certificate.submitted", "app-2", body, "person:officer", on_behalf_of=BANK_B),
        Rule.SIGNER,
    )


def test_what_is_returned_is_judged_anew(registry: Registry) -> None:
    name = registry.apply()
    registry.accept(name)
    registry.review(name, "form")
    body = {"deficiencies": ["evidence-missing"], "deadline": registry.later(days=5), "note": None}
    registry.say("certificate.returned", name, body, "person:reviewer")
    assert registry.application_of(name).state is CertificateState.RETURNED
    refused(registry, lambda r: r.apply(by=PARTNER, application=name), Rule.SIGNER)
    registry.apply(application=name)
    found = registry.application_of(name)
    assert (found.state, found.passed) == (CertificateState.SUBMITTED, frozenset())
    assert found.hands == {"person:registrar", "person:reviewer"}


def test_what_lacks_papers_waits_for_them_and_no_longer(registry: Registry) -> None:
    name = registry.apply()
    registry.accept(name, provisional_until=registry.later(days=5))
    for kind in ("form", "substance"):
        registry.review(name, kind)
    refused(registry, lambda r: r.notice(name), Rule.STATE, "papers")
    late = registry.forked()
    late.pass_time(days=6)
    refused(late, lambda r: r.accept(name), Rule.TIME)
    refused(late, lambda r: r.review(name, "form"), Rule.TIME)
    refused(late, lambda r: r.expire(name, r.at), Rule.TIME)
    until = late.application_of(name).provisional_until
    assert until is not None
    late.expire(name, until)
    assert late.application_of(name).state is CertificateState.EXPIRED
    refused(registry, lambda r: r.expire(name, until), Rule.TIME)
    refused(registry, lambda r: r.accept(name, provisional_until=r.later(days=9)), Rule.STATE)
    registry.accept(name)
    registry.notice(name)


@pytest.mark.parametrize("missing", ["form", "substance"])
def test_nothing_is_noticed_that_was_not_reviewed(registry: Registry, missing: str) -> None:
    name = registry.apply()
    registry.accept(name)
    registry.review(name, "third-party", by=EXPERT)
    registry.review(name, "substance" if missing == "form" else "form")
    refused(registry, lambda r: r.notice(name), Rule.APPROVAL)
    registry.review(name, missing, "failed")
    refused(registry, lambda r: r.notice(name), Rule.APPROVAL)
    registry.review(name, missing)
    registry.review(name, missing, "referred")
    refused(registry, lambda r: r.notice(name), Rule.APPROVAL)


def test_nothing_is_approved_before_the_public_was_asked(registry: Registry) -> None:
    name = registry.reviewed()
    body = registry.granted(UNIT, "registration", REGISTERED)
    refused(registry, lambda r: r.approve(name, body), Rule.TIME)
    registry.notice(name)
    registry.pass_time(days=14)
    refused(registry, lambda r: r.approve(name, body), Rule.TIME)
    registry.pass_time(seconds=1)
    registry.approve(name, body)


def test_an_objection_is_settled_before_anything_goes_on(registry: Registry) -> None:
    name = registry.reviewed()
    refused(registry, lambda r: r.object(name), Rule.TIME)
    registry.notice(name)
    registry.object(name)
    registry.object(name, FIRM)
    registry.pass_time(days=15)
    body = registry.granted(UNIT, "registration", REGISTERED)
    refused(registry, lambda r: r.approve(name, body), Rule.STATE)
    refused(registry, lambda r: r.object(name), Rule.TIME)
    registry.review(name, "objection")
    assert registry.application_of(name).state is CertificateState.OBJECTED
    registry.review(name, "objection")
    # It was asked about for as long as it had to be: who objects again and again delays nothing for ever.
    registry.approve(name, body)


def test_one_who_objects_while_another_was_settled_is_heard(registry: Registry) -> None:
    name = registry.reviewed()
    registry.notice(name)
    registry.object(name)
    registry.review(name, "objection")
    registry.object(name, FIRM)
    assert registry.application_of(name).state is CertificateState.OBJECTED


def test_an_objection_that_is_right_leaves_nothing_of_what_was_found(registry: Registry) -> None:
    name = registry.reviewed()
    registry.notice(name)
    registry.object(name)
    registry.review(name, "objection", "failed")
    registry.pass_time(days=15)
    found = registry.application_of(name)
    assert (found.state, found.passed, found.notice_until) == (CertificateState.REVIEW, frozenset(), None)
    body = registry.granted(UNIT, "registration", REGISTERED)
    refused(registry, lambda r: r.approve(name, body), Rule.APPROVAL)
    registry.say("certificate.rejected", name, {"reason": "ownership-disputed", "note": None}, "person:reviewer")
    assert registry.application_of(name).state is CertificateState.REJECTED


def test_a_withdrawn_application_is_over(registry: Registry) -> None:
    name = registry.apply()
    refused(registry, lambda r: r.cancel(name, PARTNER), Rule.SIGNER)
    registry.cancel(name, "person:cdo")
    acts: list[Act] = [lambda r: r.accept(name), lambda r: r.apply(application=name), lambda r: r.cancel(name, UNIT)]
    for act in acts:
        with pytest.raises(StatementRefusedError):
            act(registry)


WHO: dict[str, Act] = {
    "accepted by a reviewer": lambda r: r.say(
        "certificate.accepted",
        r.apply(),
        {"review_due": r.later(days=9), "provisional_until": None},
        "person:reviewer",
    ),
    "returned by a bank": lambda r: r.say(
        "certificate.returned",
        r.apply(),
        {"deficiencies": ["form-incomplete"], "deadline": None, "note": None},
        "person:officer",
    ),
    "rejected by the applicant": lambda r: r.say(
        "certificate.rejected", r.apply(), {"reason": "core-data", "note": None}, "person:cdo"
    ),
    "noticed by a person": lambda r: r.say(
        "certificate.noticed",
        r.apply(),
        {"valid_from": r.at, "valid_until": r.later(days=14), "public_view": DIGEST},
        "person:approver",
    ),
}


@pytest.mark.parametrize("what", WHO)
def test_each_step_has_its_own_people(registry: Registry, what: str) -> None:
    with pytest.raises(StatementRefusedError) as caught:
        WHO[what](registry)
    assert caught.value.rule in (Rule.DUTY, Rule.SIGNER)


@pytest.mark.parametrize("kind", ["form", "substance", "third-party"])
def test_reviews_are_made_by_who_may(registry: Registry, kind: str) -> None:
    name = registry.apply()
    registry.accept(name)
    for by in ("person:registrar", "person:cdo", EXPERT if kind != "third-party" else "person:reviewer"):
        refused(registry, lambda r, by=by: r.review(name, kind, by=by), Rule.DUTY)  # type: ignore[misc]  # bound now


def test_nobody_reviews_what_his_own_house_applies_for(registry: Registry) -> None:
    registry.register("person:expert-u", UNIT)
    registry.grant("person:expert-u", Duty.EXPERT, "person:sec")
    name = registry.apply()
    registry.accept(name)
    refused(registry, lambda r: r.review(name, "third-party", by="person:expert-u"), Rule.SEPARATION)
    registry.review(name, "third-party", by=EXPERT)


def test_the_public_is_asked_about_some_things_only(registry: Registry) -> None:
    name = registry.prepare("first", FIRM, "subject-value")
    refused(registry, lambda r: r.notice(name), Rule.STATE, "not asked")


def test_an_approval_is_of_what_was_applied_for_and_of_a_time_to_come(registry: Registry) -> None:
    name = registry.reviewed()
    refused(
        registry,
        lambda r: r.say(
            "certificate.noticed", name, {"valid_from": r.at, "valid_until": r.at, "public_view": DIGEST}, BUREAU
        ),
        Rule.TIME,
    )
    registry.notice(name)
    registry.pass_time(days=15)
    body = registry.granted(UNIT, "registration", REGISTERED)
    refused(registry, lambda r: r.approve(name, {**body, "asset_class": "licence"}), Rule.TERMS)
    refused(registry, lambda r: r.approve(name, {**body, "valid_until": r.at}), Rule.TIME)


def test_of_what_was_never_applied_for_nothing_is_said(registry: Registry) -> None:
    acts: list[Act] = [
        lambda r: r.accept("app-none"),
        lambda r: r.review("app-none", "form"),
        lambda r: r.notice("app-none"),
        lambda r: r.approve("app-none", r.granted(UNIT, "registration", REGISTERED)),
    ]
    for act in acts:
        refused(registry, act, Rule.STATE)


def test_an_application_has_deadlines_that_are_to_come(registry: Registry) -> None:
    name = registry.apply()
    refused(registry, lambda r: r.accept(name, review_due=r.at), Rule.TIME)
    refused(registry, lambda r: r.accept(name, provisional_until=r.at), Rule.TIME)


@pytest.mark.parametrize("kind", ["cancel", "objection"])
def test_what_is_an_entry_of_its_own_is_not_applied_for(registry: Registry, kind: str) -> None:
    refused(registry, lambda r: r.apply(kind), Rule.TERMS)
    refused(registry, lambda r: r.apply(application="DAC-440304-2026-000001-2"), Rule.TERMS)


@pytest.mark.parametrize(
    ("kind", "asset"),
    [("first", "licence"), ("licence", "registration"), ("licence", "subject-value"), ("transfer", "subject-value")],
)
def test_nothing_comes_about_beside_its_way(registry: Registry, kind: str, asset: str) -> None:
    """A licence without a parent would be as wide as somebody likes; a firm's values are nobody else's."""
    refused(registry, lambda r: r.apply(kind, PARTNER, asset), Rule.TERMS, "come about")


def test_a_node_speaks_for_nobody(registry: Registry) -> None:
    number = registry.issue()
    refused(registry, lambda r: r.cancel(number, NODE), Rule.SIGNER)
    body = {"asset_class": "registration", "registration": "first", "channel": "online", "application": DIGEST}
    refused(registry, lambda r: r.say("certificate.submitted", "app-1", body, NODE, on_behalf_of=UNIT), Rule.SIGNER)


@pytest.mark.parametrize("applicant", ["person:cdo", NODE, BUREAU])
def test_only_units_partners_and_subjects_hold_certificates(registry: Registry, applicant: str) -> None:
    refused(registry, lambda r: r.apply(by=applicant), Rule.SIGNER, "as the applicant")


def test_a_unit_registers_its_own_data(registry: Registry) -> None:
    others = replace(REGISTERED, datasets={"tax/filings": frozenset({"uscc"}), "market/firms": frozenset()})
    for by, scope in ((PARTNER, REGISTERED), (UNIT, others)):
        with pytest.raises(StatementRefusedError, match="the holder's own") as caught:
            registry.issue("first", by, "registration", scope)
        assert caught.value.rule is Rule.TERMS
    number = registry.issue()
    with pytest.raises(StatementRefusedError, match="the holder's own"):
        registry.take(change(registry, number, "content", others))


def test_who_has_looked_at_it_does_not_approve_it(registry: Registry) -> None:
    """Also where he has changed his duty meanwhile."""
    name = registry.prepare()
    revoked = {"holder": "person:registrar", "duty": "bureau-registrar", "scope": None, "reason": "left"}
    registry.say("duty.revoked", "duty-1", {**revoked, "note": None}, "person:sec")
    granted = {"holder": "person:registrar", "duty": "bureau-approver", "scope": None, "valid_until": None}
    registry.say("duty.granted", "duty-2", granted, "person:sec")
    body = registry.granted(UNIT, "registration", REGISTERED)
    refused(
        registry, lambda r: r.say("certificate.approved", name, body, "person:registrar"), Rule.SEPARATION, "accepted"
    )


# --- issue -----------------------------------------------------------------------------------------------------------


def approved(registry: Registry) -> tuple[str, dict[str, Any]]:
    name = registry.prepare()
    body = registry.granted(UNIT, "registration", REGISTERED)
    registry.approve(name, body)
    return name, body


@pytest.mark.parametrize(
    "change",
    [
        {"rights": ["process"]},
        {"asset_class": "licence"},
        {"scope": "sha256:" + "9" * 64},
        {"valid_until": "2031-01-01T00:00:00.000000Z"},
        {"holder_keyid": "A" * 43},
    ],
)
def test_nothing_else_is_issued_than_was_approved(registry: Registry, change: dict[str, Any]) -> None:
    name, body = approved(registry)
    refused(registry, lambda r: r.take(r.issue_statement("first", name, {**body, **change})), Rule.APPROVAL)


def test_an_application_is_issued_once_and_as_what_it_is_for(registry: Registry) -> None:
    name, body = approved(registry)
    refused(registry, lambda r: r.take(r.issue_statement("licence", name, body, UNIT, parent="DAC-1")), Rule.APPROVAL)
    registry.take(registry.issue_statement("first", name, body))
    refused(registry, lambda r: r.take(r.issue_statement("first", name, body)), Rule.STATE)


def test_nothing_is_issued_that_was_not_approved(registry: Registry) -> None:
    name = registry.prepare()
    body = registry.granted(UNIT, "registration", REGISTERED)
    refused(registry, lambda r: r.take(r.issue_statement("first", name, body)), Rule.APPROVAL)
    refused(registry, lambda r: r.take(r.issue_statement("first", "app-none", body)), Rule.APPROVAL)


def test_numbers_and_places_are_given_once(registry: Registry) -> None:
    first = registry.issue()
    name, body = approved(registry)

    def issue(**change: Any) -> Act:
        return lambda r: r.take(r.issue_statement("first", name, body, **change))

    refused(registry, issue(number=first), Rule.STATE)
    refused(registry, issue(number="DAC-440304-2026-000009-0"), Rule.TERMS, "check digit")
    refused(registry, issue(number="app-9"), Rule.TERMS)
    refused(registry, issue(status={"status_list": "status-1", "index": 1}), Rule.STATE)


def test_only_the_bureau_issues(registry: Registry) -> None:
    name, body = approved(registry)
    statement = registry.issue_statement("first", name, body)
    payload = statement.payload
    refused(registry, lambda r: r.say("certificate.issued", payload.id, payload.body, UNIT), Rule.SIGNER)


def test_a_certificate_is_bound_to_a_key_of_who_applied(registry: Registry) -> None:
    name = registry.prepare()
    for other in (PARTNER, NODE, "person:cdo"):
        own = registry.forked()
        body = own.granted(other, "registration", REGISTERED)
        own.approve(name, body)
        refused(own, lambda r, body=body: r.take(r.issue_statement("first", name, body)), Rule.KEY)  # type: ignore[misc]


# --- licences --------------------------------------------------------------------------------------------------------


WIDER: dict[str, dict[str, Any]] = {
    "rights": {"rights": REGISTERED.rights | set(LICENSED.rights), "is_onward": False},
    "columns of tax/filings": {"datasets": {"tax/filings": frozenset({"tax", "name"})}},
    "datasets": {"datasets": {"market/firms": frozenset({"uscc"})}},
    "operations": {"operations": frozenset({"psi"})},
    "purposes": {"purposes": frozenset({"marketing"})},
    "zones": {"zones": frozenset({"node:market"})},
    "last": {"last": date(2030, 1, 1)},
    "uses": {"uses": 10_001},
    "epsilon": {"epsilon": Decimal(9)},
    "min_entities": {"min_entities": 5},
}


@pytest.mark.parametrize("dimension", [name for name in WIDER if name != "rights"])
def test_a_licence_is_not_wider_than_its_parent(registry: Registry, dimension: str) -> None:
    parent = registry.issue()
    wider = replace(LICENSED, **WIDER[dimension])
    with pytest.raises(StatementRefusedError, match=dimension) as caught:
        registry.license(parent, scope=wider)
    assert caught.value.rule is Rule.TERMS


def test_a_licence_of_a_licence_is_within_it(registry: Registry) -> None:
    parent = registry.issue()
    closed = registry.license(parent)
    with pytest.raises(StatementRefusedError, match="onward"):
        registry.license(closed, BANK_B, replace(LICENSED, uses=1), PARTNER)
    onward = registry.license(parent, BANK_B, replace(LICENSED, is_onward=True))
    with pytest.raises(StatementRefusedError, match="uses"):
        registry.license(onward, PARTNER, replace(LICENSED, uses=201), BANK_B)


def test_a_licence_ends_no_later_than_its_parent(registry: Registry) -> None:
    parent = registry.issue()
    application = registry.prepare("licence", PARTNER, "licence")
    until = format_time(parse_time(registry.certificate(parent).issued.valid_until).replace(year=2028))
    body = registry.granted(PARTNER, "licence", LICENSED, valid_until=until)
    registry.approve(application, body)
    refused(
        registry,
        lambda r: r.take(r.issue_statement("licence", application, body, UNIT, parent=parent)),
        Rule.TERMS,
        "no later",
    )


def test_the_holder_of_the_right_licenses_it(registry: Registry) -> None:
    parent = registry.issue()
    application = registry.prepare("licence", PARTNER, "licence")
    body = registry.granted(PARTNER, "licence", LICENSED)
    registry.approve(application, body)
    for signers in ((), (PARTNER,), (BANK_B,)):
        with pytest.raises(MissingSignaturesError, match=UNIT):
            registry.take(registry.issue_statement("licence", application, body, *signers, parent=parent))
    refused(
        registry,
        lambda r: r.take(r.issue_statement("licence", application, body, UNIT, parent="DAC-440304-2026-000009-9")),
        Rule.STATE,
    )
    registry.take(registry.issue_statement("licence", application, body, UNIT, parent=parent))


def test_nobody_licenses_himself_and_values_are_not_licensed(registry: Registry) -> None:
    parent = registry.issue()
    with pytest.raises(StatementRefusedError, match="himself"):
        registry.license(parent, UNIT)
    for holder, told in ((UNIT, "derived from a registration"), (FIRM, "not admitted")):
        value = registry.issue("first", holder, "subject-value", replace(LICENSED, is_onward=True))
        with pytest.raises(StatementRefusedError, match=told):
            registry.license(value, PARTNER, replace(LICENSED, uses=1), holder)


def test_a_text_that_is_not_here_is_asked_for(registry: Registry) -> None:
    parent = registry.issue()
    application = registry.prepare("licence", PARTNER, "licence")
    body = registry.granted(PARTNER, "licence", LICENSED)
    registry.approve(application, body)
    statement = registry.issue_statement("licence", application, body, UNIT, parent=parent)
    text = registry.scopes.pop(body["scope"])
    size = registry.standing.size
    with pytest.raises(UnknownTermsError) as caught:
        registry.take(statement)
    assert (caught.value.digest, registry.standing.size) == (body["scope"], size)
    registry.scopes[body["scope"]] = replace(text, uses=1)
    refused(registry, lambda r: r.take(statement), Rule.TERMS, "not that of the digest")


def test_what_is_derived_falls_with_what_it_comes_from(registry: Registry) -> None:
    parent = registry.issue()
    licence = registry.license(parent, scope=replace(LICENSED, is_onward=True))
    below = registry.license(licence, BANK_B, replace(LICENSED, uses=1), PARTNER)
    assert all(map(registry.is_active, (parent, licence, below)))
    registry.suspend(parent)
    assert not any(map(registry.is_active, (parent, licence, below)))
    refused(registry, lambda r: r.suspend(below, BUREAU, cause=parent), Rule.STATE)
    registry.suspend(licence, BUREAU, cause=parent)
    registry.resume(parent)
    assert registry.is_active(parent)
    assert not registry.is_active(below)
    registry.resume(licence)
    assert registry.is_active(below)
    registry.revoke(licence)
    assert not registry.is_active(below)
    refused(registry, lambda r: r.revoke(below, BUREAU), Rule.FOUR_EYES)
    registry.revoke(below, BUREAU, cause=licence)
    assert registry.certificate(below).state is CertificateState.REVOKED


def test_nothing_comes_from_what_is_not_active(registry: Registry) -> None:
    parent = registry.issue()
    licence = registry.license(parent)
    registry.suspend(parent)
    for stopped, by, holder in ((parent, BANK_B, UNIT), (licence, BANK_B, PARTNER)):
        with pytest.raises(StatementRefusedError, match="what it comes from"):
            registry.license(stopped, by, replace(LICENSED, uses=1), holder)
    with pytest.raises(StatementRefusedError, match="what it comes from"):
        registry.take(transfer(registry, licence, BANK_B, PARTNER, BANK_B))
    refused(registry, lambda r: r.present(licence, PARTNER), Rule.STATE, "what it comes from")


def test_a_status_list_tells_the_worst_of_all_that_it_comes_from(registry: Registry) -> None:
    def told(r: Registry) -> dict[int, Status]:
        return dict(r.standing.certificates.statuses("status-1", r.at))

    parent = registry.issue()
    registry.license(parent)
    assert told(registry) == {1: Status.VALID, 2: Status.VALID}
    assert dict(registry.standing.certificates.statuses("status-2", registry.at)) == {}
    registry.suspend(parent)
    assert told(registry) == {1: Status.SUSPENDED, 2: Status.SUSPENDED}
    over = registry.forked()
    over.pass_time(days=400)
    assert told(over) == {1: Status.INVALID, 2: Status.INVALID}
    registry.revoke(parent)
    assert told(registry) == {1: Status.INVALID, 2: Status.INVALID}
    assert registry.standing.certificates.status("DAC-440304-2026-000009-9", registry.at) is Status.INVALID


def test_a_status_list_follows_what_took_the_place_of_a_parent(registry: Registry) -> None:
    number = registry.issue()
    licence = registry.license(number)
    renewed = registry.take(change(registry, number, "renewal")).payload.id
    found = [registry.standing.certificates.status(one, registry.at) for one in (number, renewed, licence)]
    assert found == [Status.INVALID, Status.VALID, Status.VALID]
    registry.suspend(renewed)
    assert registry.standing.certificates.status(licence, registry.at) is Status.SUSPENDED


# --- transfer and change ---------------------------------------------------------------------------------------------


def transfer(
    registry: Registry, number: str, to: str, *signers: str, scope: Any = None, application: str = ""
) -> Statement:
    """Return the statement by which a certificate passes on, approved."""
    found = registry.certificate(number)
    text = scope or registry.scopes[found.issued.scope]
    asset = found.issued.asset_class.value
    application = application or registry.prepare("transfer", to, asset)
    until = found.issued.valid_until
    body = registry.granted(to, asset, text, valid_until=until)
    registry.approve(application, body)
    return registry.issue_statement("transfer", application, body, *signers, predecessor=number)


def test_a_certificate_that_passes_on_has_one_holder(registry: Registry) -> None:
    parent = registry.issue()
    licence = registry.license(parent)
    first = transfer(registry, licence, BANK_B, PARTNER, BANK_B)
    registry.take(first)
    passed = first.payload.id
    assert (registry.certificate(licence).state, registry.certificate(licence).successor) == ("superseded", passed)
    assert registry.certificate(passed).holder == BANK_B
    assert registry.certificate(passed).parent == parent
    assert [registry.is_active(one) for one in (licence, passed)] == [False, True]
    registry.revoke(parent)
    assert not registry.is_active(passed)


def test_of_two_transfers_at_once_one_has_an_effect(registry: Registry) -> None:
    registry.admit("partner:bank-c", "bank")
    licence = registry.license(registry.issue())
    first, second = (registry.prepare("transfer", to, "licence") for to in (BANK_B, "partner:bank-c"))
    one = transfer(registry, licence, BANK_B, PARTNER, BANK_B, application=first)
    other = transfer(registry, licence, "partner:bank-c", PARTNER, "partner:bank-c", application=second)
    registry.take(one)
    refused(registry, lambda r: r.take(other), Rule.STATE)


def test_both_sides_of_a_transfer_sign(registry: Registry) -> None:
    licence = registry.license(registry.issue())
    for signers in ((), (PARTNER,), (BANK_B,)):
        own = registry.forked()
        with pytest.raises(MissingSignaturesError):
            own.take(transfer(own, licence, BANK_B, *signers))


def test_what_passes_on_is_not_another_thing(registry: Registry) -> None:
    licence = registry.license(registry.issue())
    other = transfer(registry, licence, BANK_B, PARTNER, BANK_B, scope=replace(LICENSED, uses=9))
    refused(registry, lambda r: r.take(other), Rule.TERMS)
    same = transfer(registry, licence, PARTNER, PARTNER)
    refused(registry, lambda r: r.take(same), Rule.TERMS)


def change(registry: Registry, number: str, kind: str, scope: Any = None, *signers: str, **body: Any) -> Statement:
    found = registry.certificate(number)
    asset = found.issued.asset_class.value
    application = registry.prepare("change", found.holder, asset)
    text = scope or registry.scopes[found.issued.scope]
    grant = registry.granted(found.holder, asset, text, **body)
    registry.approve(application, grant)
    by = signers or (found.holder,)
    return registry.issue_statement("change", application, grant, *by, predecessor=number, change=kind)


def test_a_renewal_changes_the_time_and_nothing_else(registry: Registry) -> None:
    number = registry.issue()
    with pytest.raises(StatementRefusedError, match="what is said to change only"):
        registry.take(change(registry, number, "renewal", replace(REGISTERED, uses=5)))
    assert registry.is_active(number)


def test_a_renewed_parent_keeps_what_was_derived(registry: Registry) -> None:
    number = registry.issue()
    licence = registry.license(number)
    renewed = registry.take(change(registry, number, "renewal")).payload.id
    assert [registry.is_active(one) for one in (number, renewed, licence)] == [False, True, True]
    registry.suspend(renewed)
    assert not registry.is_active(licence)


def test_a_parent_does_not_become_narrower_than_what_was_derived(registry: Registry) -> None:
    number = registry.issue()
    licence = registry.license(number)
    narrow = replace(REGISTERED, uses=100)
    with pytest.raises(StatementRefusedError, match="wider than its parent: uses"):
        registry.take(change(registry, number, "content", narrow))
    with pytest.raises(StatementRefusedError, match="no later"):
        registry.take(change(registry, number, "renewal", None, valid_until=registry.later(days=20)))
    renewed = registry.take(change(registry, number, "renewal")).payload.id
    with pytest.raises(StatementRefusedError, match="wider than its parent: uses"):
        registry.take(change(registry, renewed, "content", narrow))
    registry.cancel(licence, PARTNER)
    registry.take(change(registry, renewed, "content", narrow))


def test_a_changed_licence_stays_within_its_parent(registry: Registry) -> None:
    number = registry.issue()
    licence = registry.license(number)
    with pytest.raises(StatementRefusedError, match="uses"):
        registry.take(change(registry, licence, "content", replace(LICENSED, uses=20_000)))
    registry.take(change(registry, licence, "content", replace(LICENSED, uses=300)))


def test_the_holder_signs_a_change(registry: Registry) -> None:
    number = registry.issue()
    with pytest.raises(MissingSignaturesError, match=UNIT):
        registry.take(change(registry, number, "renewal", None, PARTNER))


# --- stops and ends --------------------------------------------------------------------------------------------------


def test_one_stops_and_two_let_it_go_on(registry: Registry) -> None:
    number = registry.issue()
    refused(registry, lambda r: r.suspend(number, "person:reviewer"), Rule.DUTY)
    refused(registry, lambda r: r.suspend(number, UNIT), Rule.DUTY)
    registry.suspend(number, "person:sec")
    assert not registry.is_active(number)
    refused(registry, lambda r: r.present(number, UNIT), Rule.STATE)
    refused(registry, lambda r: r.resume(number, "person:approver"), Rule.FOUR_EYES)
    refused(registry, lambda r: r.resume(number, "person:reviewer"), Rule.DUTY)
    registry.resume(number)
    assert registry.is_active(number)


def test_it_takes_two_to_revoke(registry: Registry) -> None:
    number = registry.issue()
    for signers in (("person:approver",), ("person:sec",), (UNIT,), ("person:reviewer", "person:sec")):
        refused(registry, lambda r, signers=signers: r.revoke(number, *signers), Rule.FOUR_EYES)  # type: ignore[misc]
    registry.revoke(number)
    assert registry.certificate(number).state is CertificateState.REVOKED


def test_an_objection_stops_nobody_by_itself(registry: Registry) -> None:
    number = registry.issue()
    registry.object(number)
    assert registry.is_active(number)
    refused(registry, lambda r: r.object(number, BANK_B, suspends=True), Rule.DUTY)
    registry.object(number, BANK_B, "person:approver", suspends=True)
    assert not registry.is_active(number)
    for _ in range(2):
        registry.review(number, "objection")
    refused(registry, lambda r: r.review(number, "objection"), Rule.STATE)
    assert not registry.is_active(number), "who has stopped it lets it go on"


def test_its_holder_gives_it_up_and_nobody_else(registry: Registry) -> None:
    number = registry.issue()
    refused(registry, lambda r: r.cancel(number, PARTNER), Rule.SIGNER)
    registry.cancel(number, "person:cdo")
    assert registry.certificate(number).state is CertificateState.CANCELLED


def test_it_ends_when_its_time_is_over(registry: Registry) -> None:
    number = registry.issue()
    until = registry.certificate(number).issued.valid_until
    refused(registry, lambda r: r.expire(number, until), Rule.TIME)
    refused(registry, lambda r: r.expire(number, r.at), Rule.TIME)
    registry.pass_time(days=301)
    assert not registry.is_active(number), "whether that was recorded or not"
    registry.expire(number, until)
    assert registry.certificate(number).state is CertificateState.EXPIRED


def test_of_what_was_never_issued_nothing_is_said(registry: Registry) -> None:
    number = "DAC-440304-2026-000001-2"
    for act in (
        lambda r: r.suspend(number),
        lambda r: r.resume(number),
        lambda r: r.revoke(number),
        lambda r: r.cancel(number, UNIT),
        lambda r: r.expire(number, r.at),
        lambda r: r.present(number, UNIT),
        lambda r: r.object(number),
        lambda r: r.review(number, "objection"),
    ):
        refused(registry, act, Rule.STATE)


def test_subjects_speak_of_certificates_only(registry: Registry) -> None:
    registry.object(registry.issue(), FIRM)
    refused(
        registry,
        lambda r: r.say("job.cancelled", "job-1", {"reason": "request", "note": None}, FIRM),
        Rule.STATE,
    )
    refused(registry, lambda r: r.say("certificate.resumed", "DAC-1", {"note": None}, FIRM), Rule.PARTICIPANT)


# --- whatever happens ------------------------------------------------------------------------------------------------


class Registers(RuleBasedStateMachine):
    """Certificates are issued, licensed, passed on, stopped and ended in any order; most of it is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = settled().forked()
        self.ended: dict[str, CertificateState] = {}

    @initialize()
    def begin(self) -> None:
        self.registry.issue()

    def number(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([one.number for one in self.registry.standing.certificates.items()]))

    def attempt(self, act: Act) -> None:
        try:
            act(self.registry)
        except SandboxError:
            return  # refused, or a period that would end before it begins

    @rule(data=st.data(), by=st.sampled_from([PARTNER, BANK_B]), uses=st.integers(1, 3), onward=st.booleans())
    def licenses(self, data: st.DataObject, by: str, uses: int, onward: bool) -> None:
        parent = self.number(data)
        scope = replace(LICENSED, uses=uses, is_onward=onward)
        self.attempt(lambda r: r.license(parent, by, scope, r.certificate(parent).holder))

    @rule(data=st.data(), to=st.sampled_from([PARTNER, BANK_B, UNIT]))
    def passes_on(self, data: st.DataObject, to: str) -> None:
        number = self.number(data)
        holder = self.registry.certificate(number).holder
        self.attempt(lambda r: r.take(transfer(r, number, to, *dict.fromkeys((holder, to)))))

    @rule(data=st.data(), uses=st.integers(1, 3))
    def changes(self, data: st.DataObject, uses: int) -> None:
        number = self.number(data)
        scope = replace(self.registry.scopes[self.registry.certificate(number).issued.scope], uses=uses)
        self.attempt(lambda r: r.take(change(r, number, "content", scope)))

    @rule(data=st.data(), act=st.sampled_from(["suspend", "resume", "revoke"]))
    def stops(self, data: st.DataObject, act: str) -> None:
        number = self.number(data)
        self.attempt(lambda r: getattr(r, act)(number))

    @rule(data=st.data())
    def gives_up(self, data: st.DataObject) -> None:
        number = self.number(data)
        self.attempt(lambda r: r.cancel(number, r.certificate(number).holder))

    @invariant()
    def an_end_is_an_end(self) -> None:
        for one in self.registry.standing.certificates.items():
            assert self.ended.setdefault(one.number, one.state) is one.state or self.ended[one.number] not in ENDED
            self.ended[one.number] = one.state

    @invariant()
    def a_certificate_has_one_successor_and_one_holder(self) -> None:
        found = list(self.registry.standing.certificates.items())
        followed = [one.predecessor for one in found if one.predecessor is not None]
        assert len(followed) == len(set(followed))
        for one in found:
            assert (one.successor is not None) is (one.state is CertificateState.SUPERSEDED)

    @invariant()
    def what_is_active_is_within_what_it_comes_from(self) -> None:
        registry = self.registry
        for one in registry.standing.certificates.items():
            if one.parent is not None and registry.is_active(one.number):
                parent = registry.standing.certificates._newest(one.parent)
                assert registry.is_active(parent.number)
                own, above = (registry.scopes[item.issued.scope] for item in (one, parent))
                assert widenings(own, above) == ()

    @invariant()
    def a_status_list_says_the_same(self) -> None:
        found = self.registry.standing.certificates
        for one in found.items():
            is_valid = found.status(one.number, self.registry.at) is Status.VALID
            assert self.registry.is_active(one.number) is is_valid

    @invariant()
    def replaying_comes_to_the_same(self) -> None:
        if len(self.registry.entries) % 5:
            return
        again = self.registry.standing.fork()
        assert list(again.certificates.items()) == list(self.registry.standing.certificates.items())


Registers.TestCase.settings = settings(
    max_examples=50, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRegisters = Registers.TestCase
