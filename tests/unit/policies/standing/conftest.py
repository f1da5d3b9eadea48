"""A realm whose parties are in place."""

import copy

import pytest

from tests.lib.realm import Realm


@pytest.fixture(scope="session")
def populated() -> Realm:
    realm = Realm()
    realm.populate()
    return realm


@pytest.fixture
def realm(populated: Realm) -> Realm:
    """A realm of its own for each test, with the same people in it."""
    own = Realm()
    own.keys = populated.keys
    own.standing = type(own.standing)(
        bureau=own.standing.bureau, roots=[own.key("root").public], find_terms=lambda digest: own.texts.get(digest)
    )
    for statement in populated.entries:
        own.take(statement)
    own.texts = copy.copy(populated.texts)
    return own
