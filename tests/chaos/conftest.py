"""The real cluster's fixtures, as the integration tests have them."""

from pathlib import Path

import pytest

from proxy.demo.galera import Cluster
from tests.integration.conftest import Direct, direct, schema
from tests.support.faults import Setting

__all__ = ["direct", "schema"]


@pytest.fixture
def setting(cluster: Cluster, schema: str, direct: Direct, tmp_path: Path) -> Setting:
    return Setting(cluster, schema, direct, tmp_path)
