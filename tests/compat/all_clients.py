"""Every client, directly and through the proxy: the proxy adds no failure and changes nothing that a client sees.

Not part of `make test`, but of `make compat`, which installs what the programs need. What passed goes to
docs/compatibility.md.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.compat import table
from tests.compat.clients import CLIENTS, Client
from tests.compat.runner import Outcome, run
from tests.compat.stage import Stage

AT_ONCE: Final = 4
"""Clients: much of their time they wait."""


@pytest.fixture(scope="module")
def outcomes(each_stage: Stage, request: pytest.FixtureRequest) -> Iterator[dict[str, "Future[Outcome]"]]:
    """What is found out of each client that was asked for; several run at once.

    It is written to the document when all clients were run and none failed.
    """
    asked = {item.name.partition("[")[2].rstrip("]") for item in request.session.items}
    with ThreadPoolExecutor(AT_ONCE) as executor:
        found = {
            client.name: executor.submit(run, each_stage, client)
            for client in CLIENTS
            if f"{each_stage.kind}-{client.name}" in asked
        }
        yield found
    if len(found) == len(CLIENTS) and not any(each.exception() or each.result().wrong for each in found.values()):
        table.write(each_stage.kind, each_stage.server, [found[client.name].result() for client in CLIENTS])


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_sees_no_difference(client: Client, outcomes: dict[str, "Future[Outcome]"]) -> None:
    outcome = outcomes[client.name].result()
    print(f"\n{outcome.proxied.version}")
    assert not outcome.wrong, "\n".join(outcome.wrong)
