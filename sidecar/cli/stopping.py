"""`haltline kill`: stop now. Needs no secret, and no argument makes it fail.

Rules:
- Whatever is missing or misspelt stops more, never less: a person in a hurry may type nothing else.
- Words that were not understood are told, and the exit code is then 2 although trading is stopped:
  it may be another sidecar that was meant. Only an address that cannot be read stops nothing.
- What was stopped is printed with its store, so that the wrong sidecar is noticed at once.
"""

from collections.abc import Sequence
from typing import Final

import click
from haltline.v1 import kill_switch_pb2

from sidecar.cli.connection import connect
from sidecar.cli.failures import CommandFailed, Exit
from sidecar.cli.options import Common, common_options, printable, to_plain
from sidecar.cli.words import at, scope_flag, scope_words, word

_MODES: Final = {
    "halt": kill_switch_pb2.KILL_MODE_HALT,
    "reduce_only": kill_switch_pb2.KILL_MODE_REDUCE_ONLY,
}
_ACTIONS: Final = {
    "none": kill_switch_pb2.REQUESTED_ACTION_NONE,
    "cancel_open_orders": kill_switch_pb2.REQUESTED_ACTION_CANCEL_OPEN_ORDERS,
    "flatten": kill_switch_pb2.REQUESTED_ACTION_FLATTEN,
}


def read_scope(strategy: str | None, symbol: str | None) -> kill_switch_pb2.KillScope | None:
    """Return the scope that was asked for, None for everything. Raises click.UsageError."""
    if strategy and symbol:
        raise click.UsageError("--strategy and --symbol: give one, or neither for everything")
    if strategy:
        return kill_switch_pb2.KillScope(strategy=strategy)
    if symbol:
        return kill_switch_pb2.KillScope(symbol=symbol)
    return None


class StopCommand(click.Command):
    """A command that runs whatever its words are; `ctx.args` keeps those not understood."""

    ignore_unknown_options = True
    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what can be understood. Raises click.UsageError where the address cannot be."""
        words, lost = list(args), list[str]()
        while True:
            try:
                super().parse_args(ctx, list(words))
            except click.UsageError as problem:
                option = _faulty_option(problem)
                kept = _without(words, option)
                if option in _ADDRESS_OPTIONS or len(kept) == len(words):
                    raise
                lost.append(f"{option} ({problem.format_message()})")
                words = kept
                continue
            ctx.args = [*ctx.args, *lost]
            return ctx.args


_ADDRESS_OPTIONS: Final = ("--target", "--name", "--data-dir")


def _faulty_option(problem: click.UsageError) -> str:
    """Return the option a usage error is about, empty where it is about none."""
    if isinstance(problem, click.BadOptionUsage):
        return problem.option_name
    if isinstance(problem, click.BadParameter) and problem.param is not None:
        return problem.param.opts[0]
    return ""


def _without(words: Sequence[str], option: str) -> list[str]:
    """Return `words` without an option and its value."""
    kept: list[str] = []
    is_value = False
    for word_ in words:
        if not is_value and word_ != option and not word_.startswith(f"{option}="):
            kept.append(word_)
        is_value = word_ == option and not is_value
    return kept


@click.command(cls=StopCommand)
@common_options
@click.option("--reason", default="", help="Why.")
@click.option("--by", "triggered_by", default="", help="Who.")
@click.option("--mode", default="", help="halt or reduce_only; anything else is halt.")
@click.option("--strategy", help="Stop only this strategy.")
@click.option("--symbol", help="Stop only this symbol.")
@click.option(
    "--action",
    default="",
    help="none, cancel_open_orders or flatten: asked of the bots. flatten implies reduce_only.",
)
def kill(
    common: Common,
    *,
    reason: str,
    triggered_by: str,
    mode: str,
    strategy: str | None,
    symbol: str | None,
    action: str,
) -> None:
    """Stop trading now; needs no secret.

    Exit code 0 when it is stopped, 1 when it is stopped but the disk refused to remember it, 2 when
    it is stopped but a word was not understood.
    """
    not_understood = [printable(text) for text in click.get_current_context().args]
    is_one_scope = not (strategy and symbol)
    request = kill_switch_pb2.TriggerKillRequest(
        reason=reason,
        triggered_by=triggered_by,
        mode=_read_mode(mode),
        scope=read_scope(strategy, symbol) if is_one_scope else None,
        requested_action=_ACTIONS.get(
            _plain_word(action), kill_switch_pb2.REQUESTED_ACTION_UNSPECIFIED
        ),
    )
    try:
        with connect(common.target, common.timeout_seconds, common.tls) as connection:
            answer = connection.call(connection.safety.TriggerKill, request)
    except CommandFailed as failure:
        failure.way_out += f"; to have it start HALTED: touch {common.directory}/KILL"
        raise
    common.print(_describe(answer, common.target), to_plain(answer))
    if not_understood:
        click.echo(
            f"NOT UNDERSTOOD: {' '.join(not_understood)}; it is stopped all the same: "
            "is it the sidecar you meant?",
            err=True,
        )
    if not answer.durable:
        raise SystemExit(Exit.DENIED)
    if not_understood:
        raise SystemExit(Exit.USAGE)


def _read_mode(text: str) -> kill_switch_pb2.KillMode.ValueType:
    """Return the mode; one that was given and is not known is HALT, whatever the action."""
    if not text:
        return kill_switch_pb2.KILL_MODE_UNSPECIFIED
    return _MODES.get(_plain_word(text), kill_switch_pb2.KILL_MODE_HALT)


def _plain_word(text: str) -> str:
    return text.strip().lower().replace("-", "_")


def _describe(answer: kill_switch_pb2.TriggerKillResponse, target: str) -> str:
    activation = answer.activation
    covered = scope_words(activation.scope)
    opening = "Already stopped" if answer.already_active else "STOPPED"
    lines = [
        f"{opening}: {word(activation, 'mode')} for {covered}",
        f"  Since {at(activation.triggered_at)}, epoch {activation.epoch}",
        f"  By {printable(activation.triggered_by)}: {printable(activation.reason)}",
        f"  Store {answer.store_id} at {target}",
    ]
    if not answer.scope_known:
        lines.append(
            "  UNKNOWN NAME: nothing here has this name; misspelt? it is armed all the same"
        )
    if not answer.durable:
        lines.append(
            "  NOT DURABLE: the disk refused it; it holds until the sidecar ends. "
            "Stop the bots too, and leave the sidecar running"
        )
    if answer.advice:
        lines.append(f"  Advice: {printable(answer.advice)}")
    lines.append(
        f"  Way out: haltline reset kill{scope_flag(activation.scope)} --by YOU --reason WHY"
    )
    return "\n".join(lines)
