"""The TLS contexts that clients are served with and nodes are connected to with, from the operator's PEM files."""

import ssl
from pathlib import Path
from typing import Final, Literal

File = Path | str

_FLOORS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(
    certificate: File,
    key: File,
    *,
    minimum: Literal["1.2", "1.3"] = "1.2",
    client_ca: File | None = None,
    client_certificate: Literal["optional", "required"] = "optional",
) -> ssl.SSLContext:
    """A context for the server side.

    `certificate` is PEM, the chain behind the certificate; `key` is PEM without a passphrase. With `client_ca` clients
    are asked for a certificate that it has signed; one that is signed by nobody known is refused even where it is
    optional. Raises ValueError that says which file is wrong and how.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _FLOORS[minimum]
    # Renegotiation lets a stranger ask for one handshake after another on a connection that is already open.
    context.options |= ssl.OP_NO_RENEGOTIATION
    _load_key_pair(context, certificate, key)
    if client_ca is not None:
        _load_authorities(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if client_certificate == "required" else ssl.CERT_OPTIONAL
    return context


def client_context(
    verify: Literal["required", "verify-ca", "verify-identity"],
    ca: File | None = None,
    certificate: File | None = None,
    key: File | None = None,
) -> ssl.SSLContext:
    """A context for the client's side, named as MySQL's clients name theirs: `required` takes any certificate,
    `verify-ca` one that `ca` (without it: the system's authorities) has signed, `verify-identity` one that also is for
    the host connected to. `certificate` and `key` are ours, where nodes ask for one. Raises ValueError as above.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = verify == "verify-identity"
    context.verify_mode = ssl.CERT_NONE if verify == "required" else ssl.CERT_REQUIRED
    if ca is not None:
        _load_authorities(context, ca)
    elif verify != "required":
        context.load_default_certs()
    if certificate is not None and key is not None:
        _load_key_pair(context, certificate, key)
    return context


def _load_key_pair(context: ssl.SSLContext, certificate: File, key: File) -> None:
    _readable(certificate, key)
    try:
        # Without a password given here OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key}: is not the key of {certificate}") from error
        raise ValueError(f"{certificate}, {key}: not a certificate and its key in PEM without passphrase") from error


def _load_authorities(context: ssl.SSLContext, ca: File) -> None:
    _readable(ca)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as error:
        raise ValueError(f"{ca}: no certificates in PEM") from error


def _readable(*files: File) -> None:
    for path in files:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error
