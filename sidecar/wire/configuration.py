"""The configuration in force, and what reading its file again came to."""

from typing import Final

from haltline.v1 import config_pb2

from sidecar.core.answers import ReloadAnswer
from sidecar.core.commands import ReloadConfig
from sidecar.core.forms import Form
from sidecar.core.tightening import Direction
from sidecar.wire.operations import WHO_LENGTH_MAX, WHY_LENGTH_MAX
from sidecar.wire.pieces import receipt_message, short_status

CHANGES_LISTED_MAX: Final = 1_000
DIRECTION_NUMBERS: Final = {
    direction: config_pb2.ConfigChangeDirection.Value(f"CONFIG_CHANGE_DIRECTION_{direction}")
    for direction in Direction
}


def read_reload_config(message: config_pb2.ReloadConfigRequest) -> ReloadConfig:
    """Return the reload; CallRefused naming every faulty field. Tightening needs no words."""
    form = Form()
    for field, text, length_max in (
        ("reloaded_by", message.reloaded_by, WHO_LENGTH_MAX),
        ("reason", message.reason, WHY_LENGTH_MAX),
    ):
        if len(text) > length_max:
            form.fault(field, f"must be at most {length_max} characters, was {len(text)}")
    form.finish()
    return ReloadConfig(
        is_dry_run=message.dry_run,
        reloaded_by=message.reloaded_by.strip(),
        reason=message.reason.strip(),
        expected_hash=(
            message.expected_config_hash if message.HasField("expected_config_hash") else None
        ),
    )


def reload_answer(answer: ReloadAnswer, store_id: str) -> config_pb2.ReloadConfigResponse:
    """Return the answer to ReloadConfig; of too many changes those that need proof come first."""
    listed = answer.changes
    if len(listed) > CHANGES_LISTED_MAX:
        needing_proof_first = sorted(listed, key=lambda change: not change.needs_proof)
        listed = tuple(needing_proof_first[:CHANGES_LISTED_MAX])
    return config_pb2.ReloadConfigResponse(
        changed=answer.changed,
        changes=[
            config_pb2.ConfigChange(
                key=change.key,
                direction=DIRECTION_NUMBERS[change.direction],
                before=change.before,
                after=change.after,
                why=change.why,
            )
            for change in listed
        ],
        needs_proof=answer.needs_proof,
        needs_restart=answer.needs_restart,
        previous_config_hash=answer.previous_hash,
        config_hash=answer.config_hash,
        status=short_status(answer.status),
        sequence=answer.sequence,
        durable=answer.durable,
        store_id=store_id,
        unlisted_changes_count=len(answer.changes) - len(listed),
        receipt=receipt_message(answer.receipt),
    )


def config_answer(*, toml: str, config_hash: str, store_id: str) -> config_pb2.GetConfigResponse:
    """Return the configuration in force."""
    return config_pb2.GetConfigResponse(toml=toml, config_hash=config_hash, store_id=store_id)
