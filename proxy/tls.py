"""The TLS context that clients are served with, from the operator's certificate and key."""

import ssl
from pathlib import Path


def server_context(certificate: Path | str, key: Path | str) -> ssl.SSLContext:
    """A context for the server side: TLS 1.2 or later, no client certificate asked for.

    `certificate` is PEM, the chain behind the certificate; `key` is PEM without a passphrase. Raises ValueError that
    says which file is wrong and how.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Renegotiation lets a stranger ask for one handshake after another on a connection that is already open.
    context.options |= ssl.OP_NO_RENEGOTIATION
    for path in (certificate, key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error
    try:
        # Without a password given here OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key}: is not the key of {certificate}") from error
        raise ValueError(f"{certificate}, {key}: not a certificate and its key in PEM without passphrase") from error
    return context
