"""Digests of replies: the same for the same bytes, whatever the cuts, and for no others."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.digest import DIGEST_SIZE, SHORT, ReplyDigest


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_a_digest_does_not_depend_on_the_chunks(data: bytes, cuts: list[int]) -> None:
    whole, parts = ReplyDigest(), ReplyDigest()
    whole.update(data)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        parts.update(data[start:end])
    assert whole.digest() == parts.digest()
    assert whole.length == parts.length == len(data)
    assert len(whole.digest()) == (len(data) if len(data) <= SHORT else DIGEST_SIZE)


@given(st.binary(max_size=2 * SHORT), st.binary(max_size=2 * SHORT))
def test_different_replies_have_different_digests(one: bytes, two: bytes) -> None:
    first, second = ReplyDigest(), ReplyDigest()
    first.update(one)
    second.update(two)
    assert (first.digest() == second.digest()) is (one == two)
