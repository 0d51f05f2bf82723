"""Many clients with occasional work over few backends: nobody waits while one is free, nobody is pinned."""

import random

from config import Pool
from proxy.wire.constants import COM_STMT_EXECUTE, COM_STMT_PREPARE, COMMAND_NAMES
from tests.proxy.conftest import Build
from tests.proxy.scripted import Client, Stage, ok, prepared, rows
from tests.proxy.test_prepared import execute, prepare

EACH = 20  # backends of a node
STATEMENTS = 20  # prepared by one client
EXECUTE = COMMAND_NAMES[COM_STMT_EXECUTE]
PREPARE = COMMAND_NAMES[COM_STMT_PREPARE]


def answer(told: str) -> bytes:
    """What a node says to a command at once."""
    if told.startswith(PREPARE):
        return prepared(1, columns=1)
    if told.startswith(("SELECT", EXECUTE)):
        return rows("1")
    return ok()


def answering(build: Build) -> Stage:
    stage = build(up=("one", "two", "three"), pool=Pool(max_backends=EACH))
    for node in stage.nodes:
        node.script = answer
    return stage


def sizes(stage: Stage) -> list[int]:
    return [pool.size for pool in stage.service.cluster.pools.values()]


def waits(stage: Stage) -> int:
    return stage.service.metrics.pool_waits.count


def test_a_thousand_clients_share_sixty_backends(build: Build) -> None:
    stage = answering(build)
    clients = [stage.client() for _ in range(1000)]
    lot = random.Random(1)
    for round_ in range(2):
        lot.shuffle(clients)
        for number, client in enumerate(clients):
            if number % 3 == 0:
                client.says(f"SET sql_mode = '{('ANSI', '')[round_]}'")
                client.hears(ok())
            else:
                client.says("SELECT c FROM t")
                client.hears(rows("1"))
    assert waits(stage) == 0
    assert sum(sizes(stage)) <= 3 * EACH
    assert not stage.service.metrics.errors_made
    assert not stage.service.metrics.pinned


def test_all_at_once_each_waits_only_for_a_free_one(build: Build) -> None:
    """A hundred at a time, of which sixty run: the others follow as these are answered, on whatever node."""
    stage = build(up=("one", "two", "three"), pool=Pool(max_backends=EACH))
    clients = [stage.client() for _ in range(100)]
    for client in clients:
        client.says("INSERT INTO t (c) VALUES (1)")
    assert sizes(stage) == [EACH, EACH, EACH]
    answered = 0
    while heard := [node for node in stage.nodes if node.heard]:
        running = sum(len(node.heard) for node in stage.nodes)
        assert running == min(3 * EACH, len(clients) - answered)
        node = heard[0]
        told = node.heard[0][1][0]
        if b"INSERT" in told:
            answered += 1
        node.hears(told).says(ok())
    for client in clients:
        client.hears(ok())
    assert not stage.service.metrics.errors_made


def test_prepared_statements_pin_nobody(build: Build) -> None:
    stage = answering(build)
    clients: list[Client] = [stage.client() for _ in range(30)]
    for client in clients:
        for number in range(STATEMENTS):
            client.says(prepare(f"SELECT {number}"))
            client.hears(prepared(number + 1, columns=1))
    for client in clients:
        for number in range(STATEMENTS):
            client.says(execute(number + 1))
            client.hears(rows("1"))
    assert not stage.service.metrics.pinned
    assert waits(stage) == 0
    assert not any(pool.leased for pool in stage.service.cluster.pools.values())
