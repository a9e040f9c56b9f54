"""The verifier: what it proves, where it stops, and what it says then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.audit.heads import Head, sign_head
from sidecar.audit.items import End, Item, Opening, SignedHead, ended
from sidecar.audit.keys import raw_public_key
from sidecar.audit.summary import summarize
from sidecar.audit.verify import AuditFault, Expected, Verifier
from sidecar.core.events import AttemptRefused
from sidecar.store.merkle_tree import Frontier, JournalBase, TreeHead
from sidecar.store.store import ChainedRecord
from tests.audit.test_lines import chained

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = raw_public_key(KEY.public_key())
STORE = "5" * 32
OPENING = Opening(store_id=STORE, public_key=PUBLIC)


def tree_over(records: list[ChainedRecord]) -> TreeHead:
    """Return the head of these records from the first on."""
    frontier = Frontier()
    for item in records:
        frontier.append(item.record)
    return TreeHead(len(records), frontier.root(), records[-1].hash)


def signed(tree: TreeHead, store_id: str = STORE, key: Ed25519PrivateKey = KEY) -> SignedHead:
    """Return a head over `tree`."""
    head = Head(store_id=store_id, tree=tree, time="2026-01-02T03:04:05Z")
    return SignedHead(tree.size, sign_head(head, key))


def audit(count: int = 6, head_at: int = 4) -> list[Item]:
    """Return a whole audit with one head."""
    records = chained(count)
    head = signed(tree_over(records[:head_at]))
    return list(ended([*records[:head_at], head, *records[head_at:]], JournalBase()))


def base_of(records: list[ChainedRecord]) -> JournalBase:
    """Return what a drop keeps of these records."""
    frontier = Frontier()
    for item in records:
        frontier.append(item.record)
    return JournalBase(len(records), records[-1].hash, frontier.nodes)


def test_everything_that_holds_is_told() -> None:
    """Size, root, heads, how much is signed: what a person needs to know how far it reaches."""
    verified = Verifier(OPENING).take_all(audit())
    assert verified.tree == tree_over(chained(6))
    assert (verified.first_sequence, verified.heads_count, verified.signed_size) == (1, 1, 4)
    assert verified.signed_at == "2026-01-02T03:04:05Z"
    assert not verified.is_key_given
    assert not verified.is_expected_met


@pytest.mark.parametrize("size", range(1, 7))
def test_a_receipt_is_met_at_its_own_size(size: int) -> None:
    """At each size, the true root is met, and another root is history rewritten (S13)."""
    tree = tree_over(chained(size))
    expected = Expected(size, tree.root)
    assert Verifier(OPENING, expected=expected).take_all(audit()).is_expected_met
    with pytest.raises(AuditFault, match="history was rewritten"):
        Verifier(OPENING, expected=Expected(size, bytes(32))).take_all(audit())


def test_a_receipt_beyond_the_end_is_a_tail_cut() -> None:
    """What a receipt spoke of is not there: the first missing record is named."""
    with pytest.raises(AuditFault, match="your receipt speaks of 7") as caught:
        Verifier(OPENING, expected=Expected(7, bytes(32))).take_all(audit())
    assert caught.value.sequence == 7


def test_what_stays_after_a_drop_verifies_from_its_signed_head_on() -> None:
    """With the tree over what was dropped and a signed head over it, the rest stands (S13)."""
    records = chained(8)
    base = base_of(records[:5])
    opening = replace(OPENING, base=base, base_head=signed(tree_over(records[:5])).note)
    items = list(ended(records[5:], base))
    verified = Verifier(opening).take_all(items)
    assert (verified.first_sequence, verified.tree) == (6, tree_over(records))
    met = Verifier(opening, expected=Expected(5, tree_over(records[:5]).root)).take_all(items)
    assert met.is_expected_met
    with pytest.raises(AuditFault, match="those up to 5 were dropped: this cannot be judged here"):
        Verifier(opening, expected=Expected(4, bytes(32)))


def test_a_drop_without_its_signed_head_is_a_deletion() -> None:
    """Records missing at the front need a signed word for what they were."""
    records = chained(8)
    base = base_of(records[:5])
    other = signed(tree_over(records[:4])).note
    with pytest.raises(AuditFault, match="records were deleted at the front"):
        Verifier(replace(OPENING, base=base))
    with pytest.raises(AuditFault, match="is not what was signed"):
        Verifier(replace(OPENING, base=base, base_head=other))
    with pytest.raises(AuditFault, match="a tree of 5 records has 2 subtrees"):
        Verifier(replace(OPENING, base=replace(base, nodes=())))


def _without(items: list[Item], at: int) -> list[Item]:
    return [*items[:at], *items[at + 1 :]]


def _moved(items: list[Item]) -> list[Item]:
    """Move the head on by one record."""
    return [*items[:4], items[5], items[4], *items[6:]]


@pytest.mark.parametrize(
    ("items", "sequence", "what"),
    [
        (_without(audit(), 2), 3, "record 4 stands in its place"),
        (audit()[1:], 1, "record 2 stands in its place"),
        (_moved(audit()), 1, "a head over 4 records stands after record 5"),
        (_without(audit(), 4), 1, "no signed head speaks of any record"),
        ([*audit()[:3], *audit()[4:]], 4, "the records end at 3, a head speaks of 4"),
        ([*audit(), audit()[0]], 7, "something follows the end"),
        ([*audit()[:-1], End(TreeHead(7, bytes(32), bytes(32)))], 7, "the end speaks of 7 records"),
        ([*audit()[:4], signed(tree_over(chained(4)), "6" * 32)], 1, "a head is of store 66666"),
        (
            [*audit()[:4], signed(tree_over(chained(4)), key=Ed25519PrivateKey.generate())],
            1,
            "a head is signed with another key",
        ),
        (
            [*audit()[:4], signed(replace(tree_over(chained(4)), root=bytes(32)))],
            1,
            "the records up to 4 are not those that were signed",
        ),
    ],
)
def test_the_first_sequence_that_cannot_be_believed_is_named(
    items: list[Item], sequence: int, what: str
) -> None:
    """Each fault says where, what, and what it means."""
    with pytest.raises(AuditFault) as caught:
        Verifier(OPENING).take_all(items)
    assert caught.value.sequence == sequence
    assert what in caught.value.what
    assert caught.value.meaning


def test_a_fault_after_a_head_begins_after_that_head() -> None:
    """What an earlier head covers is believed: the fault is in what came later."""
    records = chained(6)
    items: list[Item] = [*records[:4], signed(tree_over(records[:4])), *records[4:]]
    items.append(signed(replace(tree_over(records), root=bytes(32))))
    with pytest.raises(AuditFault) as caught:
        Verifier(OPENING).take_all(items)
    assert caught.value.sequence == 5


def test_your_public_key_outranks_the_source_s_own() -> None:
    """A key given from elsewhere is the one that counts, and a difference is a fault by itself."""
    other = raw_public_key(Ed25519PrivateKey.generate().public_key())
    assert Verifier(OPENING, public_key=PUBLIC).take_all(audit()).is_key_given
    with pytest.raises(AuditFault, match="the key was replaced"):
        Verifier(OPENING, public_key=other)
    nameless = replace(OPENING, public_key=b"")
    assert Verifier(nameless, public_key=PUBLIC).take_all(audit()).heads_count == 1
    with pytest.raises(AuditFault, match="no public key to prove it with"):
        Verifier(nameless).take_all(audit())


def test_an_unsigned_store_verifies_by_its_chain_alone() -> None:
    """A store that never had a key says so by having none, and the result says it is unsigned."""
    nameless = replace(OPENING, public_key=b"")
    verified = Verifier(nameless).take_all(ended(chained(3), JournalBase()))
    assert (verified.signed_size, verified.heads_count) == (0, 0)


def test_a_refused_attempt_tells_who_what_and_why() -> None:
    """The summary of AttemptRefused has call, code, sentence and the caller's own words (S13)."""
    attempt = AttemptRefused(
        call="ResetKill", code="STALE_EPOCH", why="newer", by="bob", reason="now", count=3
    )
    (item,) = chained(1, (attempt,))
    assert summarize(item.record).why == (
        "ResetKill STALE_EPOCH, 3 times: newer, said by 'bob': 'now'"
    )
