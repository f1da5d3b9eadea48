"""The catalogue as the policies see it."""

from policies.request import CatalogueView
from sandbox.catalog.model import Catalogue
from sandbox.catalog.view import CatalogueFacts
from tests.unit.sandbox.catalog.declarations import FILINGS, with_item
from yingbi.events.fields import Grade, Openness, PrivacyUnit


def test_facts_are_those_of_the_declaration() -> None:
    dataset = with_item(FILINGS, "street", on_negative_list=True, grade=Grade.CORE)
    view: CatalogueView = CatalogueFacts(Catalogue(datasets={dataset.name: dataset}))
    facts = view.facts(dataset.name)
    assert facts is not None
    assert (facts.owner, facts.openness, facts.unit_column, facts.privacy_unit) == (
        "unit:futian-tax",
        Openness.CONDITIONAL,
        "uscc",
        PrivacyUnit.ENTERPRISE,
    )
    assert set(facts.columns) == {item.name for item in dataset.items}
    street, tax = facts.columns["street"], facts.columns["tax_paid"]
    assert (street.grade, street.on_negative_list, street.type) == (Grade.CORE, True, "code")
    assert (street.domain, street.edges) == (frozenset({"华强北", "沙头"}), None)
    assert (tax.domain, tax.edges) == (None, frozenset({"-100.5", "0", "1000.25"}))


def test_of_an_unknown_data_set_nothing_is_known() -> None:
    assert CatalogueFacts(Catalogue()).facts("tax/filings") is None
