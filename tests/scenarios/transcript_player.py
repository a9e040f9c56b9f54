"""Plays a transcript line by line on a sidecar, and collects what it answers.

Rules:
- A line is played at its time: the clock moves first, then the words are done.
- The first word says what is done (`_VERBS`); a line that begins with an order's id reports on it.
- A refused call is an answer like any other; a line nobody understands ends the transcript.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

from sidecar.config import ConfigurationError
from sidecar.core.answers import StatusView
from sidecar.core.commands import (
    AcceptRecovery,
    BatchMode,
    EaseKill,
    ReleaseOrder,
    ReportAccount,
    ReportedMark,
    ReportKind,
    ReportTrade,
    ResetAll,
    ResetBreaker,
    ResetKill,
)
from sidecar.core.denial import CallRefused
from sidecar.service import Caller, Role
from tests.scenarios import transcript_answers as answers
from tests.scenarios import transcript_many, transcript_prices, transcript_views
from tests.scenarios.transcript_language import (
    Configured,
    Done,
    Item,
    Moment,
    TranscriptError,
    read_transcript,
    write_transcript,
)
from tests.scenarios.transcript_requests import KINDS, Requests, take_rebase, take_scope
from tests.scenarios.transcript_sidecar import Sidecar
from tests.scenarios.transcript_words import Words

BOT: Final = Caller(role=Role.BOT, peer="unix:", name="bot")
OPERATOR: Final = Caller(role=Role.OPERATOR, peer="unix:", name="desk", has_operator_proof=True)
_CLOCK: Final = re.compile(r"(?:(\d{4}-\d\d-\d\d)T)?(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?")
_SECOND_NS: Final = 1_000_000_000
Answer = list[str]


async def play(text: str, root: Path) -> str:
    """Return the transcript as it would read if every answer in it were true. Needs an empty root.

    TranscriptError where a line cannot be understood.
    """
    items = read_transcript(text)
    player = Player(root)
    try:
        return write_transcript(items, await player.play(items))
    finally:
        await player.sidecar.end()


class Player:
    """One transcript under way."""

    def __init__(self, root: Path) -> None:
        """`root` is an empty directory."""
        self.sidecar = Sidecar(root)
        self.requests = Requests(
            instant_of=self._instant_of,
            sequence_now=lambda: self.sidecar.service.status().view.last_sequence,
        )
        self.now = 0
        self._toml = ""
        self._day = date(1970, 1, 1)
        self._wall_shift_ns = 0
        self._before: StatusView | None = None
        self._verbs: dict[str, Callable[[Words, list[str]], Awaitable[Answer]]] = {
            "start": self._start,
            "restart": self._restart,
            "stop": self._stop,
            "power": self._power_cut,
            "mark": self._mark,
            "account": self._account,
            "equity": self._equity,
            "closing": self._closing_prices,
            "buy": self._order,
            "sell": self._order,
            "batch": self._batch,
            "reports": self._reports,
            "api": self._api_error,
            "kill": self._kill,
            "ease": self._ease,
            "reset": self._reset,
            "release": self._release,
            "accept": self._accept,
            "wall": self._wall_jumps,
            "wait": self._wait,
            "disk": self._disk,
            "bookmark": self._bookmark,
            "show": self._show,
        }

    async def play(self, items: list[Item]) -> dict[int, Answer]:
        """Return the answers to each line done, by its number."""
        found: dict[int, Answer] = {}
        for item in items:
            if isinstance(item, Configured):
                self._toml = item.toml
            elif isinstance(item, Done):
                try:
                    found[item.number] = await self._play_line(item)
                except (TranscriptError, KeyError) as error:
                    raise TranscriptError(f"line {item.number}: {error}") from error
        return found

    async def _play_line(self, done: Done) -> Answer:
        self._day = done.moment.day
        self.pass_time(done.moment.instant(self._zone) - self.now)
        try:
            lines = await self._do(done.words, done.parts)
        except CallRefused as refused:
            lines = answers.refusal_lines(refused)
        if self.sidecar.is_running:
            view = self.view()
            lines += transcript_views.changes(self._before, view)
            self._before = view
        return [part for line in lines for part in answers.wrapped(self.sidecar.shorten(line))]

    def pass_time(self, duration_ns: int) -> None:
        """Let time pass, for the sidecar too."""
        if duration_ns < 0:
            raise TranscriptError("time does not go back (for the clock alone: 'wall jumps -300')")
        self.now += duration_ns
        self.sidecar.advance(duration_ns)

    async def _do(self, words_text: str, parts: list[str]) -> Answer:
        if transcript_many.is_many(words_text):
            return await transcript_many.play_many(self, words_text)
        words = Words(words_text)
        verb = words.peek()
        if verb == "KILL":
            return await self._kill_file(words)
        if verb in self._verbs:
            return await self._verbs[verb](words, parts)
        order_id = words.take("what is done")
        if words.peek() not in KINDS:
            raise words.fault(f"{verb!r} is nothing that can be done")
        return await self.report_trade(order_id, words)

    # Looking at the sidecar.

    @property
    def times(self) -> answers.Times:
        """Return how instants are shown now."""
        return answers.Times(self._zone, self.view().now)

    @property
    def _zone(self) -> str:
        """The zone in force; before the first start the one that will be."""
        if self._before is not None:
            return self.sidecar.configuration.account.zone
        found = re.search(r'^zone = "(.+)"', self._toml, re.MULTILINE)
        return found[1] if found else "UTC"

    def view(self) -> StatusView:
        """Return the status as a person would see it now."""
        return self.sidecar.service.status().view

    def _instant_of(self, text: str) -> int:
        """Read a time of today, or `2024-01-04T09:30`; nothing is now."""
        if not text:
            return self.now
        found = _CLOCK.fullmatch(text)
        if found is None:
            raise TranscriptError(f"{text!r} is no time")
        day = date.fromisoformat(found[1]) if found[1] else self._day
        moment = Moment(day=day, clock=found[2], part=found[3] or "", offset="")
        return moment.instant(self._zone)

    # Its life.

    async def _start(self, words: Words, _: list[str]) -> Answer:
        words.expect("start")
        return await self._begin(words)

    async def _begin(self, words: Words) -> Answer:
        equity = words.after("with", "equity")
        is_flat = words.skip("flat")
        words.finish()
        try:
            report = await self.sidecar.start(
                self.now + self._wall_shift_ns,
                toml=self._toml,
                equity=Decimal(equity) if equity is not None else None,
                is_flat=is_flat,
            )
        except ConfigurationError as error:
            faults = [f"{answers.INNER}{item.field}: {item.description}" for item in error.faults]
            return ["REFUSED to start with this configuration", *faults]
        view = self.view()
        store = "new store" if report.is_new else "known store"
        lines = [f"started {report.recovery} in mode {view.mode}: {store}"]
        lines[0] += f"; {answers.equity_text(view)}"
        lines += [f"note: {note}" for note in report.notes]
        if problem := self.sidecar.service.status().clock_problem:
            lines.append(f"clock: {problem}")
        if view.recovery.way_out:
            lines += transcript_views.recovery_lines(view, self.times)
        if view.activations:
            lines += transcript_views.kill_lines(view, self.times)
        if self._before is not None and not report.is_new and view.breaker.is_open:
            lines.append("the breaker is still OPEN")
        return lines

    async def _stop(self, words: Words, _: list[str]) -> Answer:
        words.expect("stop")
        words.finish()
        return ["stopped cleanly" if await self.sidecar.stop() else "stopped, and all was not well"]

    async def _restart(self, words: Words, _: list[str]) -> Answer:
        words.expect("restart")
        await self.sidecar.stop()
        return await self._begin(words)

    async def _power_cut(self, words: Words, _: list[str]) -> Answer:
        words.expect("power", "cut")
        words.finish()
        await self.sidecar.reboot()
        return ["gone; the machine boots anew"]

    async def _wait(self, words: Words, _: list[str]) -> Answer:
        words.expect("wait")
        words.finish()
        self.sidecar.look_around()
        return []

    async def _wall_jumps(self, words: Words, _: list[str]) -> Answer:
        words.expect("wall", "jumps")
        shift_ns = int(Decimal(words.take("seconds")) * _SECOND_NS)
        words.finish()
        self._wall_shift_ns += shift_ns
        if not self.sidecar.is_running:
            return []
        self.sidecar.jump(shift_ns)
        self.sidecar.look_around()
        now = self.times.show(self.view().now)
        problem = self.sidecar.service.status().clock_problem
        return [f"decisions are taken at {now}" + (f"; {problem}" if problem else "")]

    # What bots call.

    async def _order(self, words: Words, _: list[str]) -> Answer:
        order = self.requests.order(words)
        decision = await self.sidecar.service.check_order(order, BOT)
        held = {o.order_id: o.remaining_notional for o in self.sidecar.service.list_orders()}
        reserved = None if order.dry_run else held.get(order.order_id)
        return answers.decision_lines(decision, reserved, self.times)

    async def _batch(self, words: Words, parts: list[str]) -> Answer:
        words.expect("batch")
        mode = BatchMode.INDEPENDENT
        if words.skip("all", "or", "none"):
            mode = BatchMode.ALL_OR_NONE
        words.finish()
        orders = transcript_many.read_each([Words(part) for part in parts], self.requests.order)
        service = self.sidecar.service
        results = await service.check_orders(orders, mode, BOT)
        held = {o.order_id: o.remaining_notional for o in service.list_orders()}
        lines: Answer = []
        for number, result in enumerate(results, start=1):
            if result.decision is None:
                found = answers.refusal_lines(result.refused) if result.refused else []
            else:
                reserved = held.get(result.decision.order_id)
                found = answers.decision_lines(result.decision, reserved, self.times)
            name = result.order.order_id if result.order is not None else f"order {number}"
            lines += [f"{name} {found[0]}", *found[1:]]
        return lines

    async def report_trade(self, order_id: str, words: Words) -> Answer:
        """Send one report about an order."""
        report = self.requests.trade(order_id, words)
        answer = await self.sidecar.service.report_trade(report, BOT)
        text = answers.trade_text(answer)
        return [text if answer.duplicate else f"{text}; {self._book_after(report)}"]

    def _book_after(self, report: ReportTrade) -> str:
        view = self.view()
        book = answers.book_text(report.strategy, report.symbol, view)
        if report.kind is not ReportKind.FILLED:
            return book
        return f"{book}; equity {answers.money(view.account.equity)}"

    async def _reports(self, words: Words, parts: list[str]) -> Answer:
        words.expect("reports")
        words.finish()

        def read(part: Words) -> ReportTrade:
            return self.requests.trade(part.take("an order id"), part)

        reports = transcript_many.read_each([Words(part) for part in parts], read)
        lines: Answer = []
        named: dict[tuple[str, str], None] = {}
        for report, answer in zip(
            reports, await self.sidecar.service.report_trades(reports, BOT), strict=True
        ):
            if isinstance(answer, CallRefused):
                lines += answers.refusal_lines(answer)
            elif isinstance(report, ReportTrade):
                lines.append(f"{report.order_id} {answers.trade_text(answer)}")
                named[report.strategy, report.symbol] = None
        view = self.view()
        books = [answers.book_text(strategy, symbol, view) for strategy, symbol in named]
        return [*lines, *books, answers.equity_text(view)]

    async def _api_error(self, words: Words, _: list[str]) -> Answer:
        words.expect("api", "error")
        report = self.requests.api_error(words)
        answer = await self.sidecar.service.report_api_error(report, BOT)
        if answer.duplicate:
            return ["seen before, nothing changes"]
        return [f"taken; {answer.errors_in_window} in the window"]

    async def _account(self, words: Words, parts: list[str]) -> Answer:
        words.expect("account")
        return await self._send_account(self.requests.account(words, parts))

    async def _equity(self, words: Words, parts: list[str]) -> Answer:
        return await self._send_account(self.requests.account(words, parts))

    async def _mark(self, words: Words, _: list[str]) -> Answer:
        words.expect("mark")
        marks = []
        while words:
            marks.append(f"mark {words.take('a symbol')} {words.take('a price')}")
        return await self._send_account(self.requests.account(words, marks))

    async def _closing_prices(self, words: Words, _: list[str]) -> Answer:
        words.expect("closing", "prices", "of")
        closes = transcript_prices.closes_on(self._day)
        symbols = words.rest().split()
        marks = tuple(ReportedMark(symbol=name, price=closes[name]) for name in symbols)
        report = ReportAccount(report_id=f"close-{self._day.isoformat()}-{self.now}", marks=marks)
        prices = ", ".join(f"{mark.symbol} {mark.price}" for mark in marks)
        return [prices, *await self._send_account(report)]

    async def _send_account(self, report: ReportAccount) -> Answer:
        answer = await self.sidecar.service.report_account(report, BOT)
        return answers.account_lines(answer, self.view())

    # Stopping and starting.

    async def _kill(self, words: Words, _: list[str]) -> Answer:
        words.expect("kill")
        if words.skip("-9"):
            words.finish()
            await self.sidecar.kill_9()
            return ["gone"]
        answer = await self.sidecar.service.trigger_kill(self.requests.kill(words), BOT)
        return answers.kill_lines(answer)

    async def _kill_file(self, words: Words) -> Answer:
        words.expect("KILL", "file")
        does: dict[str, Callable[[], None]] = {
            "appears": self.sidecar.put_kill_file,
            "is removed": self.sidecar.remove_kill_file,
            "cannot be looked for": self.sidecar.hide_directory,
            "can be looked for again": lambda: self.sidecar.heal("directory"),
        }
        does[words.rest()]()
        if not self.sidecar.is_running:
            return []
        self.sidecar.look_around()
        view = self.view()
        return list(transcript_views.kill_lines(view, self.times))

    async def _ease(self, words: Words, _: list[str]) -> Answer:
        words.expect("ease", "kill")
        scope = take_scope(words)
        epoch = words.after("epoch")
        expected = int(epoch) if epoch is not None else None
        caller, by, why = _signature(words)
        command = EaseKill(reset_by=by, reason=why, scope=scope, expected_epoch=expected)
        return answers.start_lines(await self.sidecar.service.ease_kill(command, caller))

    async def _reset(self, words: Words, _: list[str]) -> Answer:
        words.expect("reset")
        what = words.take("kill, breaker or all")
        service = self.sidecar.service
        scope, epoch, rebase = take_scope(words), words.after("epoch"), take_rebase(words)
        expected = int(epoch) if epoch is not None else None
        caller, by, why = _signature(words)
        if what == "kill":
            kill = ResetKill(reset_by=by, reason=why, scope=scope, expected_epoch=expected)
            return answers.start_lines(await service.reset_kill(kill, caller))
        if what == "breaker":
            breaker = ResetBreaker(reset_by=by, reason=why, rebase=rebase)
            return answers.start_lines(await service.reset_breaker(breaker, caller))
        both = ResetAll(
            reset_by=by, reason=why, scope=scope, expected_epoch=expected, rebase=rebase
        )
        return answers.start_lines(await service.reset_all(both, caller))

    async def _release(self, words: Words, _: list[str]) -> Answer:
        words.expect("release")
        order_id = words.take("an order id")
        caller, by, why = _signature(words)
        command = ReleaseOrder(order_id=order_id, released_by=by, reason=why)
        return answers.start_lines(await self.sidecar.service.release_order(command, caller))

    async def _accept(self, words: Words, _: list[str]) -> Answer:
        words.expect("accept")
        service = self.sidecar.service
        if words.skip("clock"):
            caller, by, why = _signature(words)
            return answers.start_lines(await service.accept_clock(by, why, caller))
        words.expect("recovery")
        caller, by, why = _signature(words)
        command = AcceptRecovery(accepted_by=by, reason=why)
        return answers.start_lines(await service.accept_recovery(command, caller))

    # What a disk does, and what a person looks at.

    async def _disk(self, words: Words, _: list[str]) -> Answer:
        words.expect("disk")
        does: dict[str, Callable[[], None]] = {
            "is full": self.sidecar.refuse_writes,
            "cannot sync": self.sidecar.fail_syncs,
            "is well": lambda: self.sidecar.heal("disk"),
            "has a changed byte": self.sidecar.change_a_byte,
            "has half the journal": self.sidecar.cut_database,
            "has lost the last write": self.sidecar.cut_last_write,
            "has lost the journal": self.sidecar.delete_database,
        }
        if (free := words.after("has", "free")) is not None:
            self.sidecar.has_free(int(free.replace(",", "")))
        else:
            does[words.rest()]()
        return []

    async def _bookmark(self, words: Words, _: list[str]) -> Answer:
        words.expect("bookmark")
        name = words.take("a name")
        words.finish()
        self.requests.bookmarks[name] = self.view().last_sequence
        return []

    async def _show(self, words: Words, _: list[str]) -> Answer:
        words.expect("show")
        what = words.rest()
        if what == "orders":
            return list(
                transcript_views.order_lines(self.sidecar.service.list_orders(), self.times)
            )
        return list(transcript_views.VIEWS[what](self.view(), self.times))


def _signature(words: Words) -> tuple[Caller, str, str]:
    """Read who signs, why, and whether with proof: `by bob "checked" [without proof]`."""
    words.expect("by")
    by, why = words.take("a name"), words.take("a reason in quotes")
    caller = BOT if words.skip("without", "proof") else OPERATOR
    words.finish()
    return caller, by, why
