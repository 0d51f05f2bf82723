"""Who gets in: each plugin's exchange packet by packet, without a connection."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from proxy import auth
from proxy.auth import Denied, RsaKey, authenticate
from proxy.proof import FAST_AUTH_OK, Answer, PasswordAccount, Proof, at_once, native_matches, new_nonce, sha2_matches
from tests.proxy.login_client import NATIVE, PASSWORD, SHA2, native_scramble, sha2_scramble

NONCE = b"abcdefghijklmnopqrst"
ACCOUNTS = {
    "app": PasswordAccount.of("app", PASSWORD),
    "open": PasswordAccount.of("open", ""),
    "uncached": PasswordAccount("uncached", None, None),
    "sha2": PasswordAccount.of("sha2", PASSWORD, SHA2),
    "native": PasswordAccount.of("native", PASSWORD, NATIVE),
}


class Script:
    """The client's side of an exchange: what it gets is kept, what it says is computed from that."""

    def __init__(self, *replies: Any) -> None:
        self.got: list[bytes] = []
        self._replies = list(replies)

    def send(self, payload: bytes) -> None:
        self.got.append(payload)

    async def receive(self) -> bytes:
        if not self._replies:
            raise ConnectionResetError
        reply = self._replies.pop(0)
        return reply if isinstance(reply, bytes) else reply(self.got[-1])


def answer(name: str, data: bytes, plugin: str | None, *, data_plugin: str = NATIVE, secure: bool = False) -> Answer:
    return Answer(
        name=name,
        data=data,
        plugin=plugin,
        nonce=NONCE,
        data_plugin=data_plugin,
        attributes={},
        secure=secure,
    )


def run(script: Script, said: Answer, default_plugin: str = NATIVE) -> str:
    proof = asyncio.run(authenticate(script, said, ACCOUNTS.get(said.name), default_plugin=default_plugin))
    return proof.account.name


def denied(script: Script, said: Answer, default_plugin: str = NATIVE) -> bool:
    """Whether the error's text says that a password was used."""
    with pytest.raises(Denied) as caught:
        run(script, said, default_plugin)
    return caught.value.used_password


def switched(plugin: str, password: str) -> Any:
    """A client's answer to AuthSwitchRequest, for the nonce in it."""

    def reply(request: bytes) -> bytes:
        name, _, data = request[1:].partition(b"\0")
        assert (request[0], name, data[20:]) == (0xFE, plugin.encode(), b"\0")
        return (native_scramble if plugin == NATIVE else sha2_scramble)(password, data[:20])

    return reply


def encrypted(password: bytes, nonce: bytes = NONCE) -> Any:
    """A client's answer to the public key: the password and its NUL, hidden under the nonce, encrypted."""

    def reply(more: bytes) -> bytes:
        assert more[:1] == b"\x01"
        key = serialization.load_pem_public_key(more[1:])
        assert isinstance(key, rsa.RSAPublicKey)
        hidden = bytes(a ^ b for a, b in zip(password + b"\0", cycle(nonce), strict=False))
        return key.encrypt(hidden, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))

    return reply


# What needs no second round


@pytest.mark.parametrize(
    ("name", "data", "plugin", "message"),
    [
        ("app", native_scramble(PASSWORD, NONCE), NATIVE, None),
        ("native", native_scramble(PASSWORD, NONCE), NATIVE, None),
        ("app", native_scramble(PASSWORD, NONCE), None, None),
        ("app", sha2_scramble(PASSWORD, NONCE), SHA2, FAST_AUTH_OK),
    ],
)
def test_an_answer_that_is_a_proof_needs_no_exchange(
    name: str, data: bytes, plugin: str | None, message: bytes | None
) -> None:
    said = answer(name, data, plugin, data_plugin=plugin or NATIVE)
    found = at_once(said, ACCOUNTS[name], default_plugin=plugin or NATIVE)
    assert found is not None
    assert (found[0].account.name, found[1]) == (name, message)
    script = Script()
    assert found[0] == asyncio.run(authenticate(script, said, ACCOUNTS[name], default_plugin=plugin or NATIVE))


@pytest.mark.parametrize(
    ("name", "data", "plugin"),
    [
        ("app", native_scramble("wrong", NONCE), NATIVE),
        ("app", native_scramble(PASSWORD, NONCE[::-1]), NATIVE),
        ("app", b"", NATIVE),
        ("app", sha2_scramble("wrong", NONCE), SHA2),
        ("open", b"", NATIVE),
        ("uncached", b"", NATIVE),
        ("uncached", native_scramble("", NONCE), NATIVE),
        ("uncached", sha2_scramble(PASSWORD, NONCE), SHA2),
        ("sha2", native_scramble(PASSWORD, NONCE), NATIVE),  # of another plugin than its account's
        ("native", sha2_scramble(PASSWORD, NONCE), SHA2),
        ("app", native_scramble(PASSWORD, NONCE), "nobody_knows_it"),
        ("stranger", native_scramble(PASSWORD, NONCE), NATIVE),
        ("stranger", sha2_scramble(PASSWORD, NONCE), SHA2),
    ],
)
def test_any_other_answer_is_none_yet(name: str, data: bytes, plugin: str) -> None:
    said = answer(name, data, plugin, data_plugin=plugin)
    assert at_once(said, ACCOUNTS.get(name), default_plugin=NATIVE) is None


# mysql_native_password


def test_the_answer_to_the_greeting_is_enough() -> None:
    script = Script()
    assert run(script, answer("app", native_scramble(PASSWORD, NONCE), NATIVE)) == "app"
    assert script.got == []


@pytest.mark.parametrize(
    ("data", "used_password"),
    [
        (native_scramble("wrong", NONCE), True),
        (native_scramble(PASSWORD, NONCE[::-1]), True),
        (native_scramble(PASSWORD, NONCE)[:-1], True),
        (native_scramble(PASSWORD, NONCE) + b"x", True),
        (b"x", True),
        (PASSWORD.encode(), True),
        (b"", False),
    ],
)
def test_a_wrong_native_answer_is_denied(data: bytes, used_password: bool) -> None:
    assert denied(Script(), answer("app", data, NATIVE)) is used_password


def test_an_account_without_password_takes_an_empty_answer_and_no_other() -> None:
    assert run(Script(), answer("open", b"", NATIVE)) == "open"
    assert denied(Script(), answer("open", native_scramble("x", NONCE), NATIVE)) is True


def test_an_account_whose_native_digest_is_not_known_is_not_one_without_password() -> None:
    assert denied(Script(), answer("uncached", b"", NATIVE)) is False
    assert denied(Script(), answer("uncached", native_scramble("", NONCE), NATIVE)) is False
    assert denied(Script(), answer("uncached", native_scramble("unknown", NONCE), NATIVE)) is True


@given(st.binary(max_size=64), st.text(max_size=20))
def test_only_the_scramble_itself_matches(data: bytes, password: str) -> None:
    account = PasswordAccount.of("x", password)
    assert account.sha2_digest is not None
    assert sha2_matches(account.sha2_digest, sha2_scramble(password, NONCE), NONCE) is (password != "")
    assert not sha2_matches(account.sha2_digest, data, NONCE)
    assert account.native_digest is not None
    if password:
        assert native_matches(account.native_digest, native_scramble(password, NONCE), NONCE)
        assert not native_matches(account.native_digest, data, NONCE)


# caching_sha2_password


def test_a_fast_answer_is_confirmed_without_waiting_for_another() -> None:
    script = Script()
    assert run(script, answer("app", sha2_scramble(PASSWORD, NONCE), SHA2, data_plugin=SHA2), SHA2) == "app"
    assert script.got == [b"\x01\x03"]


def test_without_a_digest_or_with_a_wrong_scramble_the_password_itself_is_asked_for() -> None:
    script = Script(PASSWORD.encode() + b"\0")
    wrong = answer("app", sha2_scramble("old", NONCE), SHA2, data_plugin=SHA2, secure=True)
    assert run(script, wrong, SHA2) == "app"
    assert script.got == [b"\x01\x04"]

    script = Script(b"anything\0")
    assert denied(script, answer("uncached", bytes(32), SHA2, data_plugin=SHA2, secure=True), SHA2) is True
    assert script.got == [b"\x01\x04"]


@pytest.mark.parametrize("password", [b"wrong\0", PASSWORD.encode(), b"\0", b"", PASSWORD.encode() + b"\0\0"])
def test_a_wrong_password_in_the_full_exchange_is_denied(password: bytes) -> None:
    said = answer("app", bytes(32), SHA2, data_plugin=SHA2, secure=True)
    assert denied(Script(password), said, SHA2) is True


@pytest.mark.parametrize("secure", [False, True])
def test_the_full_exchange_under_our_public_key(secure: bool) -> None:
    script = Script(b"\x02", encrypted(PASSWORD.encode()))
    assert run(script, answer("app", bytes(32), SHA2, data_plugin=SHA2, secure=secure), SHA2) == "app"
    assert script.got[0] == b"\x01\x04"
    assert script.got[1].startswith(b"\x01-----BEGIN PUBLIC KEY-----\n")


def test_a_client_that_has_our_public_key_need_not_ask_for_it() -> None:
    pem = b"\x01" + asyncio.run(auth._KEY.public_pem())
    script = Script(encrypted(PASSWORD.encode())(pem))
    assert run(script, answer("app", bytes(32), SHA2, data_plugin=SHA2), SHA2) == "app"


@pytest.mark.parametrize(
    "reply",
    [
        encrypted(b"wrong"),
        encrypted(PASSWORD.encode(), NONCE[::-1]),
        bytes(256),
        b"",
        b"\x02",
        PASSWORD.encode() + b"\0",
    ],
)
def test_what_is_not_the_password_under_our_key_is_denied(reply: Any) -> None:
    script = Script(b"\x02", reply)
    assert denied(script, answer("app", bytes(32), SHA2, data_plugin=SHA2), SHA2) is True


def test_a_password_in_clear_is_not_taken_where_others_can_listen() -> None:
    script = Script(PASSWORD.encode() + b"\0")
    assert denied(script, answer("app", bytes(32), SHA2, data_plugin=SHA2), SHA2) is True


@pytest.mark.parametrize("data", [b"", b"\0"])
def test_an_empty_password_ends_the_sha2_exchange_at_once(data: bytes) -> None:
    script = Script()
    assert run(script, answer("open", data, SHA2, data_plugin=SHA2), SHA2) == "open"
    assert denied(script, answer("app", data, SHA2, data_plugin=SHA2), SHA2) is False
    assert script.got == []


def test_one_key_is_made_for_all_and_not_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = rsa.generate_private_key

    def generate(**arguments: Any) -> Any:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        made.append(arguments)
        return real(**arguments)

    monkeypatch.setattr(rsa, "generate_private_key", generate)

    async def ask() -> list[bytes]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4))
        return await asyncio.gather(*(key.public_pem() for _ in range(4)))

    key = RsaKey()
    assert len(set(asyncio.run(ask()))) == 1
    assert made == [{"public_exponent": 65537, "key_size": 2048}]


# Which plugin


@pytest.mark.parametrize("client_plugin", ["mysql_clear_password", "client_ed25519", "", SHA2 + "x"])
def test_a_client_with_another_plugin_is_asked_to_switch(client_plugin: str) -> None:
    script = Script(switched(NATIVE, PASSWORD))
    assert run(script, answer("app", b"whatever", client_plugin)) == "app"
    assert len(script.got) == 1


def test_data_made_before_the_plugin_was_agreed_is_not_used() -> None:
    """A client that prefers caching_sha2_password may send nothing, or something, in answer to a native greeting."""
    for data in (b"", sha2_scramble(PASSWORD, NONCE)):
        script = Script(switched(SHA2, PASSWORD))
        assert run(script, answer("app", data, SHA2, data_plugin=NATIVE)) == "app"
        assert script.got[1:] == [b"\x01\x03"]


def test_a_connection_has_one_nonce() -> None:
    """libmariadb answers COM_CHANGE_USER with the nonce of its login, and a switch there with the same answer again."""
    script = Script(native_scramble(PASSWORD, NONCE))
    assert run(script, answer("app", b"", "other")) == "app"
    assert script.got == [b"\xfe" + NATIVE.encode() + b"\0" + NONCE + b"\0"]


def test_a_client_without_plugins_is_taken_at_its_native_answer() -> None:
    script = Script()
    assert run(script, answer("app", native_scramble(PASSWORD, NONCE), None, data_plugin=SHA2), SHA2) == "app"
    assert denied(script, answer("app", native_scramble("wrong", NONCE), None)) is True
    assert script.got == []


# What a stranger can learn


@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
@pytest.mark.parametrize("data", [b"", bytes(20), bytes(32)])
def test_an_unknown_name_is_not_told_from_a_wrong_password(plugin: str, data: bytes) -> None:
    seen = []
    for name in ("app", "stranger", ""):
        script = Script(b"wrong\0")
        used = denied(script, answer(name, data, plugin, data_plugin=plugin, secure=True), plugin)
        seen.append((script.got, used))
    assert seen[0] == seen[1] == seen[2]


def test_accounts_do_not_show_what_they_know() -> None:
    account = PasswordAccount.of("app", PASSWORD)
    assert repr(account) == "PasswordAccount(name='app')"
    assert PASSWORD not in repr(answer("app", PASSWORD.encode(), NATIVE))


def test_nonces_are_fresh_and_have_no_byte_that_means_something() -> None:
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    for nonce in nonces:
        assert len(nonce) == 20
        assert nonce.isalnum()


def test_a_client_that_leaves_in_the_middle_ends_the_exchange() -> None:
    with pytest.raises(ConnectionResetError):
        run(Script(), answer("app", b"", "other"))
    with pytest.raises(ConnectionResetError):
        run(Script(b"\x02"), answer("app", bytes(32), SHA2, data_plugin=SHA2), SHA2)


# What an account says of itself


class Renewed:
    """An account of the cluster, in short: one plugin, and digests that change when they are looked up again."""

    name = "ann"

    def __init__(self, plugin: str, *passwords: str) -> None:
        self.plugin = plugin
        self._passwords = list(passwords)

    @property
    def native_digest(self) -> bytes | None:
        return PasswordAccount.of("", self._passwords[0]).native_digest

    @property
    def sha2_digest(self) -> bytes | None:
        return PasswordAccount.of("", self._passwords[0]).sha2_digest

    async def verify(self, password: bytes) -> bool:
        return password == self._passwords[0].encode()

    async def renew(self) -> bool:
        if len(self._passwords) == 1:
            return False
        del self._passwords[0]
        return True

    def objection(self, host: str, *, tls: bool) -> None:
        return None


def prove(account: Any, script: Script, said: Answer, **options: Any) -> Proof:
    return asyncio.run(authenticate(script, said, account, default_plugin=NATIVE, **options))


def test_a_native_answer_shows_what_logs_in_to_the_nodes() -> None:
    proof = prove(Renewed(NATIVE, PASSWORD), Script(), answer("ann", native_scramble(PASSWORD, NONCE), NATIVE))
    assert proof.native_key == hashlib.sha1(PASSWORD.encode()).digest()
    assert prove(Renewed(NATIVE, ""), Script(), answer("ann", b"", NATIVE)).native_key == b""
    assert proof.native_key.hex()[:8] not in repr(proof)


def test_a_sha2_answer_shows_nothing_of_the_kind() -> None:
    said = answer("ann", sha2_scramble(PASSWORD, NONCE), SHA2, data_plugin=SHA2)
    assert prove(Renewed(SHA2, PASSWORD), Script(), said).native_key is None


@pytest.mark.parametrize(("own", "proposed"), [(NATIVE, SHA2), (SHA2, NATIVE)])
def test_an_account_has_its_plugin_whatever_the_client_proposes(own: str, proposed: str) -> None:
    script = Script(switched(own, PASSWORD))
    prove(Renewed(own, PASSWORD), script, answer("ann", b"x" * 20, proposed, data_plugin=proposed))
    assert script.got[0].startswith(b"\xfe" + own.encode())


def test_a_name_that_nobody_has_is_asked_as_the_others_are() -> None:
    script = Script(switched(NATIVE, PASSWORD))
    with pytest.raises(Denied):
        prove(None, script, answer("bob", b"x" * 32, SHA2, data_plugin=SHA2), plugin_of_unknown=NATIVE)
    assert len(script.got) == 1


def test_an_answer_that_does_not_fit_is_held_against_what_is_newer() -> None:
    said = answer("ann", native_scramble("new", NONCE), NATIVE)
    proof = prove(Renewed(NATIVE, "old", "new"), Script(), said)
    assert proof.native_key == hashlib.sha1(b"new").digest()
    with pytest.raises(Denied):
        prove(Renewed(NATIVE, "old", "other"), Script(), said)


def test_a_configured_user_may_be_held_to_one_plugin() -> None:
    assert run(Script(switched(SHA2, PASSWORD)), answer("sha2", native_scramble(PASSWORD, NONCE), NATIVE)) == "sha2"
    assert run(Script(switched(NATIVE, PASSWORD)), answer("native", b"x", SHA2)) == "native"
    # A client without plugins knows the native one only.
    assert denied(Script(), answer("sha2", native_scramble(PASSWORD, NONCE), None))
    assert run(Script(), answer("native", native_scramble(PASSWORD, NONCE), None)) == "native"
