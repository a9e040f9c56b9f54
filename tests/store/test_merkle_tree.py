"""The tree of RFC 6962: its published vectors, and its definition written down a second time."""

from __future__ import annotations

import hashlib
import random

import pytest

from sidecar.store.merkle_tree import EMPTY_ROOT, Frontier

# The leaves and roots that Certificate Transparency's reference implementations test with.
LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def test_roots_are_those_of_the_published_vectors() -> None:
    """After each leaf the root is the published one; before any it is the empty hash (S13)."""
    frontier = Frontier()
    found = [frontier.root().hex()]
    for leaf in LEAVES:
        frontier.append(bytes.fromhex(leaf))
        found.append(frontier.root().hex())
    assert tuple(found) == ROOTS
    assert bytes.fromhex(ROOTS[0]) == EMPTY_ROOT


def _definition(records: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is written there."""
    if not records:
        return hashlib.sha256(b"").digest()
    if len(records) == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    split = 1
    while split * 2 < len(records):
        split *= 2
    halves = _definition(records[:split]) + _definition(records[split:])
    return hashlib.sha256(b"\x01" + halves).digest()


def test_the_frontier_is_the_recursive_definition() -> None:
    """For every size up to 200, and for one drawn beyond, frontier and definition agree."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - what repeats a failure
    chance = random.Random(seed)
    records = [chance.randbytes(chance.randrange(40)) for _ in range(chance.randrange(200, 3_000))]
    frontier = Frontier()
    for size, record in enumerate(records, start=1):
        frontier.append(record)
        if size <= 200:
            assert frontier.root() == _definition(records[:size])
    assert frontier.root() == _definition(records)


def test_a_frontier_goes_on_from_its_bytes() -> None:
    """Kept as bytes at any size and taken up again, the tree grows as if it had never ended."""
    for size in range(40):
        frontier = Frontier()
        for at in range(size):
            frontier.append(b"%d" % at)
        again = Frontier.from_bytes(size, frontier.to_bytes())
        assert again.nodes == frontier.nodes
        frontier.append(b"next")
        again.append(b"next")
        assert again.root() == frontier.root()


@pytest.mark.parametrize(("size", "nodes"), [(1, ()), (2, (bytes(32), bytes(32))), (1, (b"x",))])
def test_nodes_that_cannot_be_a_frontier_are_refused(size: int, nodes: tuple[bytes, ...]) -> None:
    """A tree of n records has one subtree for each bit of n, each of 32 bytes."""
    with pytest.raises(ValueError, match=f"tree of {size} records"):
        Frontier(size, nodes)
