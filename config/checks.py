"""What settings must be together: faults that no single value shows.

Each check takes a whole `Config` and yields faults with every path that is involved; a check whose settings already
have faults of their own is left out by the caller. Looks at files where the configuration names some, and at nothing
else outside.
"""

import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final

from config.model import Cluster, Config, Endpoint
from config.places import Path
from config.structure import Fault
from config.units import Address, format_duration, format_size

# sun_path has 108 bytes with the NUL at its end (unix(7)).
_MOST_SOCKET_BYTES: Final = 107


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A fault between several settings: it is shown at the fault's path, and means nothing if one of `involved` is
    itself at fault."""

    fault: Fault
    involved: tuple[Path, ...]


def disagreements(config: Config) -> Iterator[Disagreement]:
    """All faults between settings."""
    yield from _nodes(config)
    yield from _cluster_tls(config.cluster, ("cluster",))
    yield from _present(config)
    yield from _names(config)
    yield from _listeners(config)
    for index, endpoint in enumerate(config.endpoints):
        yield from _tls(endpoint, ("endpoint", index))
        yield from _socket(endpoint.socket, ("endpoint", index, "socket"))
        yield from _endpoint_replay(config, index)
    yield from _console(config)
    yield from _replay(config)
    yield from _workers(config)
    yield from _backoff(config)
    yield from _flavor(config.cluster)


def _at(path: Path, message: str, hint: str, *involved: Path) -> Disagreement:
    return Disagreement(Fault(path, message, hint), (path, *involved))


def _nodes(config: Config) -> Iterator[Disagreement]:
    path: Path = ("cluster", "nodes")
    if not config.cluster.nodes:
        yield _at(path, "there is no node", 'write at least one, such as nodes = ["10.0.0.1"]')
    seen: dict[Address, int] = {}
    for index, node in enumerate(config.cluster.nodes):
        if node in seen:
            first = seen[node] + 1
            yield _at((*path, index), f"{node} is entry {first} already", "write each node once")
        seen.setdefault(node, index)


def _present(config: Config) -> Iterator[Disagreement]:
    if not config.endpoints:
        yield _at(("endpoint",), "there is no [[endpoint]]", "write a table [[endpoint]] with name and listen")
    if not config.users and not config.accounts.cluster:
        hint = "write a table [[user]] with name and password, or [accounts] cluster = true"
        message = "there is no [[user]], and the cluster's accounts are off: nobody could log in"
        yield _at(("user",), message, hint, ("accounts", "cluster"))
    for index, endpoint in enumerate(config.endpoints):
        path: Path = ("endpoint", index)
        if endpoint.listen is None and endpoint.socket is None:
            hint = 'write listen = "127.0.0.1:3306", or socket with a path'
            yield _at(path, "the endpoint listens nowhere", hint, (*path, "listen"), (*path, "socket"))


def _workers(config: Config) -> Iterator[Disagreement]:
    workers, backends = config.process.workers, config.pool.max_backends
    if workers > backends:
        message = f"{workers} workers cannot share {backends} connections to a node"
        hint = f"write {backends} or less, or more max_backends in [pool]"
        yield _at(("process", "workers"), message, hint, ("pool", "max_backends"))


def _names(config: Config) -> Iterator[Disagreement]:
    for table, names in (("endpoint", [e.name for e in config.endpoints]), ("user", [u.name for u in config.users])):
        seen: dict[str, int] = {}
        for index, name in enumerate(names):
            path: Path = (table, index, "name")
            if name in seen:
                hint = "write another name" if table == "endpoint" else "keep one of the two tables"
                yield _at(path, f'"{name}" is the name of [[{table}]] #{seen[name] + 1} already', hint)
            seen.setdefault(name, index)


def _listeners(config: Config) -> Iterator[Disagreement]:
    """Two listeners on one address, and a listener on a node's: the proxy would be its own node."""
    addresses: list[tuple[Path, str, Address]] = [
        (("endpoint", index, "listen"), f'[[endpoint]] "{endpoint.name}"', endpoint.listen)
        for index, endpoint in enumerate(config.endpoints)
        if endpoint.listen is not None
    ]
    if config.http.listen is not None:
        addresses.append((("http", "listen"), "[http]", config.http.listen))
    if config.console.listen is not None:
        addresses.append((("console", "listen"), "[console]", config.console.listen))
    for index, (path, _, address) in enumerate(addresses):
        for other_path, other, taken in addresses[:index]:
            if address.overlaps(taken):
                yield _at(path, f"{address} is taken by {other} ({taken})", "write another port", other_path)
        for entry, node in enumerate(config.cluster.nodes):
            if address == node or (address.every and address.overlaps(node) and node.host in _LOOPBACK):
                hint = "write another port here, or the node's own address there"
                yield _at(path, f"{address} is the address of a node ({node})", hint, ("cluster", "nodes", entry))
    sockets: dict[FilePath, str] = {}
    named: list[tuple[Path, str, FilePath | None]] = [
        (("endpoint", index, "socket"), f'[[endpoint]] "{endpoint.name}"', endpoint.socket)
        for index, endpoint in enumerate(config.endpoints)
    ]
    for path, owner, file in (*named, (("console", "socket"), "[console]", config.console.socket)):
        if file is None:
            continue
        if file in sockets:
            yield _at(path, f'"{file}" is the socket of {sockets[file]} already', "write another path")
        sockets.setdefault(file, owner)


_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def _tls(endpoint: Endpoint, path: Path) -> Iterator[Disagreement]:
    certificate = (*path, "tls_certificate")
    if endpoint.tls_required and endpoint.tls_certificate is None:
        hint = "write tls_certificate and tls_key, or tls_required = false"
        yield _at((*path, "tls_required"), "TLS is required but there is no certificate", hint, certificate)
    if endpoint.tls_client_ca is not None and endpoint.tls_certificate is None:
        hint = "write tls_certificate and tls_key"
        yield _at((*path, "tls_client_ca"), "clients' certificates need TLS, and there is none", hint, certificate)
    if endpoint.tls_client_certificate == "required" and endpoint.tls_client_ca is None:
        hint, ca = "write tls_client_ca", (*path, "tls_client_ca")
        yield _at((*path, "tls_client_certificate"), "nothing can be verified without authorities", hint, ca)
    elif endpoint.tls_client_certificate == "required" and not endpoint.tls_required:
        hint, required = "write tls_required = true", (*path, "tls_required")
        yield _at((*path, "tls_client_certificate"), "clients without TLS need no certificate", hint, required)
    yield from _authorities(endpoint.tls_client_ca, (*path, "tls_client_ca"))
    yield from _pair(endpoint.tls_certificate, endpoint.tls_key, path)


def _cluster_tls(cluster: Cluster, path: Path) -> Iterator[Disagreement]:
    for key in ("tls_ca", "tls_certificate", "tls_key"):
        if cluster.tls == "off" and getattr(cluster, key) is not None:
            hint = 'write tls = "verify-identity", or "verify-ca", or "required"'
            yield _at((*path, key), "there is no TLS towards the nodes for it", hint, (*path, "tls"))
    if cluster.tls == "required" and cluster.tls_ca is not None:
        hint = 'write tls = "verify-ca" or "verify-identity", or leave tls_ca out'
        yield _at((*path, "tls_ca"), "nothing is verified by it", hint, (*path, "tls"))
    yield from _authorities(cluster.tls_ca, (*path, "tls_ca"))
    yield from _pair(cluster.tls_certificate, cluster.tls_key, path)


def _pair(certificate: FilePath | None, key: FilePath | None, path: Path) -> Iterator[Disagreement]:
    certificate_path, key_path = (*path, "tls_certificate"), (*path, "tls_key")
    if key is not None and certificate is None:
        yield _at(key_path, "there is a key but no certificate", "write tls_certificate", certificate_path)
    if certificate is not None and key is None:
        yield _at(certificate_path, "there is a certificate but no key", "write tls_key", key_path)
    readable = True
    for at, file in ((certificate_path, certificate), (key_path, key)):
        reason = _unreadable(file) if file is not None else None
        if reason is not None:
            readable = False
            yield _at(at, f'"{file}" cannot be read: {reason}', "name a PEM file that the proxy's user may read")
    if readable and certificate is not None and key is not None:
        yield from _key_pair(certificate, key, certificate_path, key_path)


def _authorities(file: FilePath | None, path: Path) -> Iterator[Disagreement]:
    if file is None:
        return
    reason = _unreadable(file)
    if reason is not None:
        yield _at(path, f'"{file}" cannot be read: {reason}', "name a PEM file that the proxy's user may read")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        yield _at(path, f'"{file}" has no certificates in PEM form', "name the authorities' certificates, not a key")


def _key_pair(certificate: FilePath, key: FilePath, certificate_path: Path, key_path: Path) -> Iterator[Disagreement]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password function OpenSSL would ask for an encrypted key's passphrase at the terminal.
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        reason = (error.reason or "no certificate and key in PEM form").replace("_", " ").lower()
        hint = "write the certificate's own key, without a passphrase, both in PEM form"
        yield _at(key_path, f"the certificate and the key do not work together: {reason}", hint, certificate_path)


def _no_passphrase() -> str:
    return ""


def _unreadable(file: FilePath) -> str | None:
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except (OSError, ValueError) as error:
        return (error.strerror if isinstance(error, OSError) else None) or "no valid file name"
    return None


def _socket(file: FilePath | None, path: Path) -> Iterator[Disagreement]:
    if file is None:
        return
    length = len(os.fsencode(file))
    if length > _MOST_SOCKET_BYTES:
        message = f"the path of a socket has at most {_MOST_SOCKET_BYTES} bytes, this one {length}"
        yield _at(path, message, "write a shorter path")
    elif not file.parent.is_dir():
        yield _at(path, f'"{file.parent}" is no directory', "create it, or write another path")
    elif file.exists() and not file.is_socket():
        yield _at(path, f'"{file}" is there and is no socket', "write another path")


def _console(config: Config) -> Iterator[Disagreement]:
    console = config.console
    path: Path = ("console",)
    somewhere = console.listen is not None or console.socket is not None
    if somewhere and console.password is None:
        hint = "write password, password_file or password_env"
        yield _at((*path, "password"), "the console has no password: anybody could drain a node", hint)
    if console.password is not None and not somewhere:
        hint = 'write listen = "127.0.0.1:6032", or socket with a path'
        yield _at((*path, "listen"), "the console listens nowhere", hint, (*path, "socket"))
    yield from _socket(console.socket, (*path, "socket"))


def _replay(config: Config) -> Iterator[Disagreement]:
    replay = config.replay
    if replay.backoff_base > replay.backoff_max:
        limit = format_duration(replay.backoff_max)
        message = f"{format_duration(replay.backoff_base)} is longer than backoff_max ({limit})"
        yield _at(("replay", "backoff_base"), message, f"write {limit} or less", ("replay", "backoff_max"))
    if replay.journal_bytes > replay.total_journal_bytes:
        limit = format_size(replay.total_journal_bytes)
        message = f"{format_size(replay.journal_bytes)} is more than total_journal_bytes ({limit})"
        hint = f"write {limit} or less"
        yield _at(("replay", "journal_bytes"), message, hint, ("replay", "total_journal_bytes"))


def _endpoint_replay(config: Config, index: int) -> Iterator[Disagreement]:
    """The same between an endpoint's limits, of which those it leaves out are those of [replay]."""
    own, common = config.endpoints[index].replay, config.replay
    path: Path = ("endpoint", index, "replay")
    base = common.backoff_base if own.backoff_base is None else own.backoff_base
    most = common.backoff_max if own.backoff_max is None else own.backoff_max
    if (own.backoff_base, own.backoff_max) != (None, None) and base > most:
        key = "backoff_base" if own.backoff_base is not None else "backoff_max"
        message = f"a backoff_base of {format_duration(base)} is longer than backoff_max ({format_duration(most)})"
        yield _at((*path, key), message, "write a shorter backoff_base or a longer backoff_max")
    if own.journal_bytes is not None and own.journal_bytes > common.total_journal_bytes:
        limit = format_size(common.total_journal_bytes)
        message = f"{format_size(own.journal_bytes)} is more than total_journal_bytes ({limit})"
        hint = f"write {limit} or less"
        yield _at((*path, "journal_bytes"), message, hint, ("replay", "total_journal_bytes"))


def _backoff(config: Config) -> Iterator[Disagreement]:
    limits = config.limits
    if limits.login_backoff > limits.login_backoff_max:
        limit = format_duration(limits.login_backoff_max)
        message = f"{format_duration(limits.login_backoff)} is longer than login_backoff_max ({limit})"
        yield _at(("limits", "login_backoff"), message, f"write {limit} or less", ("limits", "login_backoff_max"))


def _flavor(cluster: Cluster) -> Iterator[Disagreement]:
    if cluster.flavor == "group-replication" and cluster.proxy_protocol:
        message = "MySQL's nodes do not speak the PROXY protocol"
        yield _at(("cluster", "proxy_protocol"), message, "leave it out", ("cluster", "flavor"))
