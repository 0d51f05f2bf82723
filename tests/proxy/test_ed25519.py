"""The signature that a node wants of an ed25519 account, against the standard's vectors and MariaDB's own."""

from base64 import b64encode

import pytest

from proxy.ed25519 import public_key, signature


# RFC 8032, 7.1: with a seed for the password it is the standard's algorithm.
@pytest.mark.parametrize(
    ("seed", "public", "message", "signed"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
            "be24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
            "2aeeb00d291612bb0c00",
        ),
    ],
)
def test_it_is_ed25519(seed: str, public: str, message: str, signed: str) -> None:
    assert public_key(bytes.fromhex(seed)).hex() == public
    assert signature(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signed


def test_the_key_is_what_mariadb_stores() -> None:
    """https://mariadb.com/kb/en/authentication-plugin-ed25519/"""
    assert b64encode(public_key(b"secret")).rstrip(b"=") == b"ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"
