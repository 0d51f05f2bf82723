"""`multiwriter setup`: makes on the nodes what the commit marker needs, with the statements shown first.

What has to be there is known by router.marker; whose accounts need which rights is found here, from the settings and
the nodes' own accounts. Changes nothing unless told to, and nothing that is as it should be.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from config import Address, Config
from proxy import login, queries
from proxy.link import link
from proxy.marker import probe
from router import marker

PATIENCE: Final = 5.0  # seconds to connect to a node, and for it to answer the login
STATEMENT: Final = 60.0  # seconds for one statement: a definition may wait for transactions that use its table
ATTRIBUTES: Final = {"program_name": "multiwriter-setup"}
ACCOUNTS: Final = "SELECT user, host FROM mysql.user WHERE host <> '' ORDER BY user, host"
SYSTEM: Final = ("mysql", "mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "PUBLIC")

Say = Callable[[str], None]


class SetupFailed(Exception):
    """Why it can't be done, in words for the operator."""


def needed(config: Config, accounts: Sequence[tuple[str, str]]) -> list[str]:
    """The statements, given the nodes' accounts as (user, host). Raises `SetupFailed` for one that is not there."""
    everywhere = any(endpoint.commit_marker for endpoint in config.endpoints)
    names = {
        user.backend_name or user.name
        for user in config.users
        if user.commit_marker or (user.commit_marker is None and everywhere)
    }
    missing = sorted((names | {config.cluster.user}) - {name for name, _ in accounts})
    if missing:
        raise SetupFailed(f"the nodes have no account {' and no account '.join(missing)}: make it first")
    if everywhere and config.accounts.cluster:
        names |= {name for name, _ in accounts if name not in SYSTEM}
    statements = list(marker.STRUCTURE)
    for name, host in accounts:
        account = f"{_quoted(name)}@{_quoted(host)}"
        if account == marker.OWNER:
            continue
        if name == config.cluster.user:
            statements += marker.grants_to_service(account)
        elif name in names:
            statements += marker.grants_to_client(account)
    return statements


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def as_script(statements: Sequence[str]) -> str:
    """As one would paste them into the command-line client."""
    lines: list[str] = []
    for statement in statements:
        if "\nBEGIN\n" in statement:
            lines += ["DELIMITER //", f"{statement} //", "DELIMITER ;"]
        else:
            lines.append(f"{statement};")
    return "\n".join(lines)


def run(config: Config, user: str, password: str, *, execute: bool, say: Say) -> None:
    """Show the statements, and with `execute` run them as `user` on the first node that lets it in. Raises
    `SetupFailed`.
    """
    asyncio.run(_run(config, user, password, execute=execute, say=say))


async def _run(config: Config, user: str, password: str, *, execute: bool, say: Say) -> None:
    if not config.marks_commits:
        raise SetupFailed("commit_marker is on for no endpoint and no user: there is nothing to set up")
    node, connection = await _connect(config, user, password)
    try:
        try:
            accounts = await connection.query(ACCOUNTS)
        except login.ConnectFailed as failed:
            raise SetupFailed(f"{user} may not read the accounts ({failed}): name another with --user") from None
        statements = needed(config, [(name or "", host or "") for name, host in accounts])
        say(as_script(statements))
        if not execute:
            return
        for statement in statements:
            try:
                async with asyncio.timeout(STATEMENT):
                    await connection.query(statement)
            except TimeoutError:
                raise SetupFailed(f"{node} did not finish within {STATEMENT:g} s:\n{statement}") from None
            except login.ConnectFailed as failed:
                raise SetupFailed(f"{node} refused this to {user} ({failed}):\n{statement}") from None
    finally:
        connection.close()
    found = await fault_of(config)
    if found is not None:
        raise SetupFailed(f"all statements were run, but the marker cannot be used: {found}")


async def fault_of(config: Config) -> str | None:
    """Why the marker can't be used by the account that watches the nodes; None: it can."""
    try:
        _, connection = await _connect(config, config.cluster.user, config.cluster.password.reveal())
        return await probe(connection)
    except SetupFailed as failed:
        return str(failed)


def fault(config: Config) -> str | None:
    """The same, for a program with no loop."""
    return asyncio.run(fault_of(config))


async def _connect(config: Config, user: str, password: str) -> tuple[Address, queries.QueryConnection]:
    """To the first node that lets us in."""
    refused: list[str] = []
    for node in config.cluster.nodes:
        try:
            return node, await queries.open_queries(
                (node.host, node.port),
                user=user,
                password=password,
                attributes=ATTRIBUTES,
                link=link(config.cluster),
                timeout=PATIENCE,
                connect_timeout=PATIENCE,
            )
        except login.ConnectFailed as failed:
            refused.append(f"{node}: {failed}")
    raise SetupFailed(f"no node lets {user} in: {'; '.join(refused)}")
