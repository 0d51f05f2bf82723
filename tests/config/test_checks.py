"""What settings must be together."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import config
from config import ConfigError

BASE = """\
[cluster]
nodes = ["10.0.0.1"]
user = "m"
password = "m"
[[user]]
name = "app"
password = "app"
"""
WRITE = '[[endpoint]]\nname = "write"\nlisten = "127.0.0.1:3306"\n'


def problems(text: str, directory: Path) -> list[str]:
    """What is wrong with the base and this text, without the file and line."""
    try:
        config.loads(BASE + text, name="m", directory=directory, environ={})
    except ConfigError as error:
        return [f"{problem.place.partition(' ')[2]}: {problem.message}" for problem in error.problems]
    return []


def key_pair(directory: Path, name: str, passphrase: bytes | None = None) -> None:
    """A self-signed certificate NAME.crt and its key NAME.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    (directory / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with key pairs "one" and "two", an encrypted one, a file that is none, and a live socket."""
    directory = tmp_path_factory.mktemp("files")
    key_pair(directory, "one")
    key_pair(directory, "two")
    key_pair(directory, "locked", b"passphrase")
    (directory / "text").write_text("nothing\n")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(directory / "old.sock"))
        yield directory


@pytest.mark.parametrize(
    "text",
    [
        WRITE,
        WRITE + '[[endpoint]]\nname = "b"\nlisten = "127.0.0.2:3306"\n',
        WRITE + '[[endpoint]]\nname = "b"\nsocket = "new.sock"\n',
        WRITE + 'socket = "old.sock"\n',
        WRITE + 'tls_certificate = "one.crt"\ntls_key = "one.key"\ntls_required = true\n',
        WRITE + 'tls_certificate = "one.crt"\ntls_key = "one.key"\ntls_required = true\ntls_client_ca = "two.crt"\n'
        'tls_client_certificate = "required"\ntls_minimum = "1.3"\n',
        '[[endpoint]]\nname = "a"\nlisten = "127.0.0.1:0"\n[[endpoint]]\nname = "b"\nlisten = "127.0.0.1:0"\n',
        # 0.0.0.0:3306 is not the address of a node on another machine.
        '[[endpoint]]\nname = "a"\nlisten = "0.0.0.0:3306"\n',
    ],
)
def test_what_goes_together(files: Path, text: str) -> None:
    assert problems(text, files) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[endpoint]]\nname = "a"\n', '[[endpoint]] "a": the endpoint listens nowhere'),
        (
            WRITE + '[[endpoint]]\nname = "write"\nlisten = "127.0.0.1:3307"\n',
            '[[endpoint]] #2 name: "write" is the name of [[endpoint]] #1 already',
        ),
        (
            WRITE + '[[user]]\nname = "app"\npassword = "x"\n',
            '[[user]] #2 name: "app" is the name of [[user]] #1 already',
        ),
        (
            WRITE + '[[endpoint]]\nname = "b"\nlisten = "0.0.0.0:3306"\n',
            '[[endpoint]] "b" listen: 0.0.0.0:3306 is taken by [[endpoint]] "write" (127.0.0.1:3306)',
        ),
        (
            WRITE + '[http]\nlisten = "127.0.0.1:3306"\n',
            '[http] listen: 127.0.0.1:3306 is taken by [[endpoint]] "write" (127.0.0.1:3306)',
        ),
        (
            '[[endpoint]]\nname = "a"\nlisten = "10.0.0.1:3306"\n',
            '[[endpoint]] "a" listen: 10.0.0.1:3306 is the address of a node (10.0.0.1:3306)',
        ),
        (
            WRITE + 'socket = "s"\n[[endpoint]]\nname = "b"\nsocket = "s"\n',
            '[[endpoint]] "b" socket: "{files}/s" is the socket of [[endpoint]] "write" already',
        ),
        (
            WRITE + 'socket = "s"\n[console]\npassword = "p"\nsocket = "s"\n',
            '[console] socket: "{files}/s" is the socket of [[endpoint]] "write" already',
        ),
        (
            WRITE + '[console]\nlisten = "127.0.0.1:6032"\n',
            "[console] password: the console has no password: anybody could drain a node",
        ),
        (WRITE + '[console]\npassword = "p"\n', "[console] listen: the console listens nowhere"),
        (WRITE + 'socket = "no/s"\n', '[[endpoint]] "write" socket: "{files}/no" is no directory'),
        (WRITE + 'socket = "text"\n', '[[endpoint]] "write" socket: "{files}/text" is there and is no socket'),
        (
            WRITE + f'socket = "/{"s" * 107}"\n',
            '[[endpoint]] "write" socket: the path of a socket has at most 107 bytes, this one 108',
        ),
        (WRITE + "tls_required = true\n", '[[endpoint]] "write" tls_required: TLS is required but there is no certifi'),
        (WRITE + 'tls_key = "one.key"\n', '[[endpoint]] "write" tls_key: there is a key but no certificate'),
        (
            WRITE + 'tls_certificate = "one.crt"\n',
            '[[endpoint]] "write" tls_certificate: there is a certificate but no',
        ),
        (
            WRITE + 'tls_certificate = "absent"\ntls_key = "one.key"\n',
            '[[endpoint]] "write" tls_certificate: "{files}/absent" cannot be read: No such file or directory',
        ),
        (
            WRITE + 'tls_certificate = "one.crt"\ntls_key = "two.key"\n',
            '[[endpoint]] "write" tls_key: the certificate and the key do not work together: key values mismatch',
        ),
        (
            WRITE + 'tls_certificate = "text"\ntls_key = "one.key"\n',
            '[[endpoint]] "write" tls_key: the certificate and the key do not work together: ',
        ),
        (
            WRITE + 'tls_certificate = "locked.crt"\ntls_key = "locked.key"\n',
            '[[endpoint]] "write" tls_key: the certificate and the key do not work together: ',
        ),
        (WRITE + 'tls_client_ca = "one.crt"\n', '[[endpoint]] "write" tls_client_ca: clients\' certificates need TLS'),
        (
            WRITE + 'tls_certificate = "one.crt"\ntls_key = "one.key"\ntls_client_certificate = "required"\n',
            '[[endpoint]] "write" tls_client_certificate: nothing can be verified without authorities',
        ),
        (
            WRITE + 'tls_certificate = "one.crt"\ntls_key = "one.key"\ntls_client_ca = "one.crt"\n'
            'tls_client_certificate = "required"\n',
            '[[endpoint]] "write" tls_client_certificate: clients without TLS need no certificate',
        ),
        (
            WRITE + 'tls_certificate = "one.crt"\ntls_key = "one.key"\ntls_client_ca = "one.key"\n',
            '[[endpoint]] "write" tls_client_ca: "{files}/one.key" has no certificates in PEM form',
        ),
        (
            WRITE + 'tls_certificate = "one.crt"\ntls_key = "one.key"\ntls_client_ca = "absent"\n',
            '[[endpoint]] "write" tls_client_ca: "{files}/absent" cannot be read: No such file or directory',
        ),
        (WRITE + '[replay]\nbackoff_max = "1ms"\n', "[replay] backoff_base: 2ms is longer than backoff_max (1ms)"),
        (
            WRITE + '[replay]\ntotal_journal_bytes = "1KiB"\n',
            "[replay] journal_bytes: 1MiB is more than total_journal_bytes (1KiB)",
        ),
    ],
)
def test_what_does_not(files: Path, text: str, told: str) -> None:
    (found,) = problems(text, files)
    assert found.startswith(told.format(files=files))


def test_a_proxy_on_every_address_must_not_be_its_own_node(tmp_path: Path) -> None:
    text = BASE.replace("10.0.0.1", "localhost") + '[[endpoint]]\nname = "a"\nlisten = "0.0.0.0:3306"\n'
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0:3306 is the address of a node"):
        config.loads(text, directory=tmp_path)


def test_an_empty_array_of_tables_is_none(tmp_path: Path) -> None:
    text = 'endpoint = []\n[cluster]\nnodes = ["10.0.0.1"]\nuser = "m"\npassword = "m"\n'
    with pytest.raises(ConfigError) as error:
        config.loads(text, directory=tmp_path)
    (problem,) = error.value.problems
    assert problem.message.startswith("there is no [[endpoint]]")


@pytest.mark.parametrize("users", ["", "user = []\n"])
def test_somebody_must_be_able_to_log_in(tmp_path: Path, users: str) -> None:
    text = f'{users}[cluster]\nnodes = ["10.0.0.1"]\nuser = "m"\npassword = "m"\n{WRITE}'
    assert config.loads(text, directory=tmp_path).users == ()  # the cluster's accounts can
    with pytest.raises(ConfigError, match=r"there is no .*user.*, and the cluster's accounts are off") as error:
        config.loads(text + "[accounts]\ncluster = false\n", directory=tmp_path)
    assert len(error.value.problems) == 1


def test_the_first_delay_of_a_login_is_not_longer_than_the_longest(tmp_path: Path) -> None:
    assert problems(WRITE + '[limits]\nlogin_backoff = "5s"\n', tmp_path) == [
        "[limits] login_backoff: 5s is longer than login_backoff_max (3s)"
    ]


def test_mysql_is_told_no_addresses(tmp_path: Path) -> None:
    flavor = 'flavor = "group-replication"\n'
    assert of_the_cluster(f"{flavor}proxy_protocol = true\n", tmp_path) == [
        "[cluster] proxy_protocol: MySQL's nodes do not speak the PROXY protocol"
    ]
    assert of_the_cluster(flavor, tmp_path) == []
    assert of_the_cluster("proxy_protocol = true\n", tmp_path) == []


def test_settings_at_fault_are_not_compared(tmp_path: Path) -> None:
    found = problems(WRITE + '[replay]\nbackoff_base = "1h"\nbackoff_max = "x"\n', tmp_path)
    assert found == ['[replay] backoff_max: "x" is no duration']


def of_the_cluster(text: str, directory: Path) -> list[str]:
    whole = BASE.replace('password = "m"\n', f'password = "m"\n{text}', 1) + WRITE
    try:
        config.loads(whole, name="m", directory=directory, environ={})
    except ConfigError as error:
        return [f"{problem.place.partition(' ')[2]}: {problem.message}" for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('tls = "required"\n', []),
        ('tls = "verify-ca"\n', []),
        ('tls = "verify-identity"\ntls_ca = "one.crt"\ntls_certificate = "two.crt"\ntls_key = "two.key"\n', []),
        ('tls_ca = "one.crt"\n', ["[cluster] tls_ca: there is no TLS towards the nodes for it"]),
        ('tls = "required"\ntls_ca = "one.crt"\n', ["[cluster] tls_ca: nothing is verified by it"]),
        (
            'tls = "verify-ca"\ntls_ca = "one.key"\n',
            ['[cluster] tls_ca: "{files}/one.key" has no certificates in PEM form'],
        ),
        (
            'tls = "required"\ntls_certificate = "one.crt"\n',
            ["[cluster] tls_certificate: there is a certificate but no key"],
        ),
    ],
)
def test_tls_towards_the_nodes(files: Path, text: str, told: list[str]) -> None:
    assert of_the_cluster(text, files) == [one.format(files=files) for one in told]
