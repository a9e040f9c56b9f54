"""The status as plain values for readers over HTTP: the contract's names, and bounded."""

from __future__ import annotations

import orjson
from google.protobuf.json_format import ParseDict
from haltline.v1 import account_pb2, kill_switch_pb2, position_limits_pb2, status_pb2

from sidecar.wire.plain_status import PLAIN_COUNT_MAX, plain_message, plain_status


def a_status(count: int) -> status_pb2.Status:
    """Return a status with so many of everything."""
    exposures = [position_limits_pb2.Exposure(name=f"s{at}", exposure="1") for at in range(count)]
    return status_pb2.Status(
        stop_epoch=7,
        position_limits=position_limits_pb2.PositionLimits(
            symbols=exposures, strategies=exposures, symbol_count=count
        ),
        kill_switch=kill_switch_pb2.KillSwitch(
            activations=[kill_switch_pb2.KillActivation(epoch=at) for at in range(count)]
        ),
        marks=[
            account_pb2.MarkStatus(symbol=f"s{at}", price="1", stale=at % 2 == 0)
            for at in range(count)
        ],
    )


def test_it_is_the_json_form_of_the_contract() -> None:
    """What was written reads back as the same message, under the contract's own names."""
    status = a_status(3)
    status.marks.pop(1)  # the one that stands in nobody's way
    plain = orjson.loads(orjson.dumps(plain_status(status)))
    assert plain["stop_epoch"] == "7"
    assert ParseDict(plain, status_pb2.Status()) == status


def test_lists_are_cut_and_their_count_stays() -> None:
    """A thousand symbols are fifty and a count; of the marks only odd ones are told."""
    plain = plain_status(a_status(1_000))
    limits = plain["position_limits"]
    lists = (limits["symbols"], limits["strategies"], plain["marks"])
    assert [len(each) for each in lists] == [PLAIN_COUNT_MAX] * 3
    assert len(plain["kill_switch"]["activations"]) == PLAIN_COUNT_MAX
    assert limits["symbol_count"] == 1_000
    assert all(mark["stale"] for mark in plain["marks"])


def test_what_is_false_can_be_told_too() -> None:
    """`durable = false` is never left out where somebody stopped: silence reads as well."""
    answer = kill_switch_pb2.TriggerKillResponse(durable=False)
    assert plain_message(answer) == {}
    assert plain_message(answer, is_complete=True)["durable"] is False
