"""Whatever is heard in whatever order, nothing is sent that a simple model would not send (S15)."""

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.duration_pb2 import Duration
from haltline.answers import Question, read_answer
from haltline.errors import NotSendable
from haltline.guard_core import GuardCore
from haltline.order import Order
from haltline.order_life import OrderLife
from haltline.v1 import order_pb2, status_pb2
from haltline.words import Side
from hypothesis import given
from hypothesis import strategies as st

from tests.client.scripted_sidecar import OTHER_STORE, STORE, Script

SECOND_NS = 1_000_000_000

EVENTS = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 4_000)),
    st.tuples(st.just("ask"), st.just(0)),
    st.tuples(
        st.just("approve"),
        st.tuples(st.integers(0, 4), st.sampled_from([STORE, OTHER_STORE]), st.integers(-1, 5)),
    ),
    st.tuples(st.just("frame"), st.tuples(st.integers(0, 4), st.booleans())),
    st.tuples(st.just("send"), st.just(0)),
)


@dataclass
class Model:
    """What may be sent, by the words of S15 and nothing else."""

    now: int = 0
    heard_at: int = 0
    epoch: int = 1
    is_cut_at: int | None = None
    has_met_another: bool = False
    asked_at: int | None = None
    approval: tuple[int, int] | None = None  # epoch, send before
    sent: set[int] = field(default_factory=set)

    def hear(self, epoch: int, at: int) -> None:
        """Any answer with an epoch is a sign of life as of when it was asked for."""
        self.epoch = max(self.epoch, epoch)
        self.heard_at = max(self.heard_at, at)
        if self.is_cut_at is not None and at > self.is_cut_at:
            self.is_cut_at = None

    def may_send(self) -> bool:
        """Whether the newest approval may be sent now."""
        if self.approval is None or self.has_met_another or self.is_cut_at is not None:
            return False
        epoch, send_before = self.approval
        is_heard = self.now - self.heard_at <= 3 * SECOND_NS
        return epoch >= self.epoch and self.now < send_before and is_heard


def fresh_core() -> GuardCore:
    """Return a core that has heard a first status."""
    core = GuardCore(
        strategy="momentum",
        started_at=0,
        token="t",
        jitter=lambda: 0.0,
        driven_clock=False,
        store_id="",
        reports_max=5,
    )
    core.view.hear_status(Script().status, 0)
    return core


@given(st.lists(EVENTS, max_size=40))
def test_nothing_is_sent_that_must_not_be(events: list[tuple[str, Any]]) -> None:
    """An order goes out exactly when it is approved, fresh, unmoved, heard and unsent."""
    core, model, sequence = fresh_core(), Model(), 1
    core.view.open_stream()
    snapshot = status_pb2.StreamStatusResponse(
        kind=status_pb2.FRAME_KIND_SNAPSHOT, sequence=1, stop_epoch=1, status=Script().status
    )
    assert core.view.hear_frame(snapshot, 0)
    life: OrderLife | None = None
    order = core.name(Order(symbol="AAPL", side=Side.BUY, quantity="1"))
    for kind, detail in events:
        if kind == "wait":
            model.now += detail * 1_000_000
        elif kind == "ask":
            model.asked_at = model.now
        elif kind == "approve" and model.asked_at is not None:
            life = _approve(core, model, order, detail)
        elif kind == "frame" and model.is_cut_at is None:
            epoch, has_gap = detail
            sequence += 2 if has_gap else 1
            frame = status_pb2.StreamStatusResponse(
                kind=status_pb2.FRAME_KIND_HEARTBEAT, sequence=sequence, stop_epoch=epoch
            )
            core.view.hear_frame(frame, model.now)
            if has_gap:
                model.is_cut_at = model.now
                sequence -= 2
            else:
                model.hear(epoch, model.now)
        elif kind == "send" and life is not None:
            assert _is_sent(core, life, model.now) == model.may_send()
            if model.may_send():
                model.approval = None


def _approve(core: GuardCore, model: Model, order: Order, detail: Any) -> OrderLife:
    """Answer the newest question with an approval, and let the model read it by its own rules."""
    epoch, store, valid_seconds = detail
    asked_at, model.asked_at = model.asked_at or 0, None
    answer = order_pb2.CheckOrderResponse(
        order_id=order.order_id,
        verdict=order_pb2.VERDICT_APPROVED,
        stop_epoch=epoch,
        valid_for=Duration(seconds=valid_seconds),
        store_id=store,
    )
    question = Question(order_id=order.order_id, asked_at=asked_at)
    decision = read_answer(core.view, question, answer, model.now)
    model.approval = None
    if valid_seconds > 0:
        if store == STORE:
            model.hear(epoch, asked_at)
            model.approval = (epoch, asked_at + valid_seconds * SECOND_NS)
        else:
            model.has_met_another = True
    if not model.may_send():
        model.approval = None
    assert decision.is_approved == (model.approval is not None), decision.sentence
    return core.life(order, decision, is_asked=True)


def _is_sent(core: GuardCore, life: OrderLife, now: int) -> bool:
    try:
        core.mark_sent(life, now)
    except NotSendable:
        return False
    return True
