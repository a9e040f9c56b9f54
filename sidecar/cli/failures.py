"""How a command ends when it could not do what was asked: exit code, sentence, way out.

Rules:
- 0 approved or ok, 1 denied or active, 2 usage, 3 unreachable. Nothing else.
- Every refusal names its way out; a command to type is given in full.
"""

from enum import IntEnum
from typing import Final

from haltline.errors import CallFault


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    DENIED = 1
    USAGE = 2
    UNREACHABLE = 3


class CommandFailed(Exception):  # noqa: N818 - it says what happened, like the core's CallRefused
    """The command did not do what was asked."""

    def __init__(self, code: Exit, message: str, *, reason: str = "", way_out: str = "") -> None:
        """`reason` is the sidecar's stable word where it gave one."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.way_out = way_out

    def to_plain(self) -> dict[str, object]:
        """Return what `--json` prints."""
        return {
            "error": {
                "exit_code": int(self.code),
                "reason": self.reason,
                "message": self.message,
                "way_out": self.way_out,
            }
        }


_UNREACHABLE_CODES: Final = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN")
_PROOF_WAY_OUT: Final = (
    "set KILL_SWITCH_RESET_SECRET (or KILL_SWITCH_SECRET) to the value this sidecar was started "
    "with, then run the command again"
)

_TLS_HINT: Final = ", and what it must be shown over TLS with --credentials DIR"

WAY_OUT_OF_REASON: Final = {
    "OPERATOR_PROOF_REQUIRED": _PROOF_WAY_OUT,
    "OPERATOR_PROOF_WRONG": _PROOF_WAY_OUT,
    "OPERATOR_PROOF_NOT_CONFIGURED": "restart the sidecar with KILL_SWITCH_SECRET in its "
    "environment; what is stopped stays stopped over the restart",
    "DRAWDOWN_STANDS": "wait until equity has recovered, or accept the loss as the new start with "
    "`haltline reset breaker --rebase daily,weekly,total --by YOU --reason WHY`, naming those "
    "that stand and no other",
    "EQUITY_NOT_POSITIVE": "report the equity that is there: `haltline account --equity N`",
    "STALE_EPOCH": "somebody stopped again in the meantime: read `haltline safety`, then decide "
    "anew",
    "KILL_FILE_PRESENT": "remove the file KILL from the data directory, then reset again",
    "OPERATOR_PROOF_STALE": "set the clock of this machine and of the sidecar's right",
    "OPERATOR_PROOF_UNREMEMBERED": "mend the disk, then restart the sidecar",
    "REBASE_NOT_STANDING": "`haltline safety` says which drawdowns stand: name only those",
    "CERTIFICATE_REFUSED": "renew it where the authority is (`haltline init DIR --renew NAME`), "
    "or take it off the list of revoked fingerprints",
    "ROLE_NOT_ALLOWED": "use the credentials of a bot or an operator",
    "STORE_DAMAGED": "stop it and run `haltline store repair`, or restore the data directory from "
    "a backup",
    "DRAINING": "the sidecar is stopping: ask again once it is back",
    "CONFIGURATION_FAULTY": "mend the file; `haltline config check FILE` names every fault",
    "CONFIGURATION_CHANGED": "somebody wrote the file in the meantime: look at "
    "`haltline config reload --dry-run` again",
    "RESTART_REQUIRED": "take these keys back in the file and reload, or restart the sidecar",
    "NO_CONFIGURATION_FILE": "restart the sidecar with --config FILE",
    "ORDER_UNKNOWN": "`haltline orders` lists what holds a reservation",
}


def from_fault(target: str, fault: CallFault) -> CommandFailed:
    """Return how a command ends whose call failed."""
    if not fault.is_from_sidecar and fault.code in _UNREACHABLE_CODES:
        return unreachable(target, f"{fault.code}: {innermost(fault.message)}".rstrip(": "))
    code = Exit.UNREACHABLE if fault.reason == "DRAINING" else _EXIT_OF_CODE.get(fault.code)
    message = fault.message or fault.code
    if fault.field_faults and fault.reason == "MALFORMED_REQUEST":
        message = "\n  ".join(
            ["the request is malformed:"]
            + [f"{item.field}: {item.description}" for item in fault.field_faults]
        )
    way_out = WAY_OUT_OF_REASON.get(fault.reason, "")
    return CommandFailed(code or Exit.DENIED, message, reason=fault.reason, way_out=way_out)


def innermost(message: str) -> str:
    """Return the last cause that the transport names: `Connection refused`."""
    return message.rsplit("error: ", maxsplit=1)[-1]


_EXIT_OF_CODE: Final = {
    "INVALID_ARGUMENT": Exit.USAGE,
    "UNIMPLEMENTED": Exit.UNREACHABLE,
}


def unreachable(target: str, why: str) -> CommandFailed:
    """Return that nobody answered at `target`; a bot then denies everything by itself."""
    return CommandFailed(
        Exit.UNREACHABLE,
        f"no sidecar answers at {target} ({why})",
        reason="UNREACHABLE",
        way_out="is it running? give its address with --target, --name or --data-dir"
        + ("" if target.startswith("unix:") else _TLS_HINT)
        + "; while it is down its guards approve nothing",
    )
