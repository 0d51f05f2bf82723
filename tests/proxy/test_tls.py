"""The operator's certificate and key: what works, and what is said of what does not."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.tls import server_context
from tests.proxy.login_client import write_certificate


def test_a_context_serves_modern_tls_only(tmp_path: Path) -> None:
    context = server_context(*write_certificate(tmp_path))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    with pytest.raises(ValueError, match=r"nothing\.pem: No such file"):
        server_context(tmp_path / "nothing.pem", key)
    with pytest.raises(ValueError, match=r"nothing\.key: No such file"):
        server_context(certificate, tmp_path / "nothing.key")


def test_another_certificates_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = write_certificate(tmp_path)
    _, key = write_certificate(tmp_path / "other")
    with pytest.raises(ValueError, match=r"server\.key: is not the key of .*server\.pem"):
        server_context(certificate, key)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    with pytest.raises(ValueError, match="not a certificate and its key"):
        server_context(key, key)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(bytes(100))
    with pytest.raises(ValueError, match="not a certificate and its key"):
        server_context(certificate, garbage)


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ValueError, match="without passphrase"):
        server_context(certificate, key)


def test_the_operator_may_ask_for_more(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    assert server_context(certificate, key, minimum="1.3").minimum_version == ssl.TLSVersion.TLSv1_3
    assert server_context(certificate, key, client_ca=certificate).verify_mode == ssl.CERT_OPTIONAL
    required = server_context(certificate, key, client_ca=certificate, client_certificate="required")
    assert required.verify_mode == ssl.CERT_REQUIRED


def test_authorities_that_are_none_are_named(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    with pytest.raises(ValueError, match=r"server\.key: no certificates"):
        server_context(certificate, key, client_ca=key)
    with pytest.raises(ValueError, match=r"nothing\.pem: No such file"):
        server_context(certificate, key, client_ca=tmp_path / "nothing.pem")
