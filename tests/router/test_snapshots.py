"""Which servers have innodb_snapshot_isolation, by the version that they greet with."""

import pytest

from router.snapshots import ISOLATED, has_it


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("5.5.5-10.11.19-MariaDB-deb12", True),
        ("10.11.8-MariaDB", True),
        ("10.11.7-MariaDB", False),
        ("5.5.5-10.6.18-MariaDB-log", True),
        ("10.6.17-MariaDB", False),
        ("10.9.99-MariaDB", False),
        ("11.4.1-MariaDB", False),
        ("11.4.2-MariaDB", True),
        ("11.8.0-MariaDB", True),
        ("12.0.1-MariaDB", True),
        ("9.7.0", False),
        ("8.0.36-Percona XtraDB Cluster", False),
        ("", False),
    ],
)
def test_versions(version: str, expected: bool) -> None:
    assert has_it(version) is expected


def test_a_session_begins_with_it_as_if_the_client_had_set_it() -> None:
    assert ISOLATED.variables == (("innodb_snapshot_isolation", "ON"),)
