"""The stored form of caching_sha2_password."""

import pytest

from proxy.crypt import StoredSha2, sha256_crypt

# Hash and password are published as an example by hashcat, mode 7401; the salt has bytes of all kinds.
SALT = bytes.fromhex("F9CC98CE08892924F50A213B6BC571A2C11778C5")
DIGEST = "bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/"
STORED = f"$A$005${SALT.decode('latin-1')}{DIGEST}"


def test_a_password_of_mysql() -> None:
    assert sha256_crypt(b"hashcat", SALT, 5000) == DIGEST
    stored = StoredSha2.parse(STORED)
    assert stored is not None
    assert stored.fits(b"hashcat")
    assert not stored.fits(b"hashcaT")
    assert not stored.fits(b"")
    assert not stored.fits(b"hashcat" * 40)


@pytest.mark.parametrize(
    ("password", "salt", "rounds", "digest"),
    [  # from the algorithm's own description (https://www.akkadia.org/drepper/SHA-crypt.txt)
        ("Hello world!", "saltstring", 5000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("Hello world!", "saltstringsaltst", 10000, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
        ("This is just a test", "toolongsaltstrin", 5000, "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
        (
            "a very much longer text to encrypt.  This one even stretches over morethan one line.",
            "anotherlongsalts",
            1400,
            "Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1",
        ),
    ],
)
def test_the_algorithms_examples(password: str, salt: str, rounds: int, digest: str) -> None:
    assert sha256_crypt(password.encode(), salt.encode(), rounds) == digest


@pytest.mark.parametrize(
    "stored",
    ["", "x", "$A$005$", STORED[:-1], STORED + "x", STORED.replace("$A$", "$B$"), STORED.replace("005", "xyz"),
     STORED.replace("005", "000"), STORED.replace("005", "FFFFF"), "$5$" + STORED[3:]],
)  # fmt: skip
def test_what_is_no_stored_password_fits_none(stored: str) -> None:
    assert StoredSha2.parse(stored) is None
