"""What a hub gives of a federation is what it keeps: the contributions to every completed round."""

from tests.lib.federation_evidence import real_run


def test_all_contributions_are_fetched_as_the_hub_keeps_them() -> None:
    run = real_run()
    assert run.fetched.keys() == run.files.keys()
    for path, data in run.fetched.items():
        assert data == run.files[path]
