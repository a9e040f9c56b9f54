"""ReportApiError: a venue call failed, counted once per report id (S7.2, S9).

Rules: the same id with the same content changes nothing; with other content it is a conflict.
"""

from sidecar.core.account_reports import conflict
from sidecar.core.answers import ApiErrorAnswer
from sidecar.core.apply import api_error_content
from sidecar.core.commands import ReportApiError
from sidecar.core.events import ApiErrorReported, ReportConflicted
from sidecar.core.turn import Outcome, Turn, short_status


def handle_api_error(turn: Turn, report: ReportApiError) -> Outcome:
    """Take an error report."""
    state = turn.state
    known = state.reports.get(f"ReportApiError {report.report_id}")
    if known is not None:
        contents = (known.content.split("\n"), api_error_content(report).split("\n"))
        names = ("api", "code", "message")
        pairs = zip(names, *contents, strict=True)
        fields = tuple(name for name, one, two in pairs if one != two)
        if not fields:
            return Outcome(answer=_answer(turn, duplicate=True))
        turn.emit(
            ReportConflicted(
                rpc="ReportApiError", order_id="", report_id=report.report_id, fields=fields
            )
        )
        return Outcome(events=turn.events, refused=conflict(report.report_id, fields))
    turn.emit(ApiErrorReported(report=report))
    turn.follow()
    return Outcome(answer=_answer(turn, duplicate=False), events=turn.events)


def _answer(turn: Turn, *, duplicate: bool) -> ApiErrorAnswer:
    state = turn.state
    window = state.thresholds.circuit_breaker.api_errors_window_ns
    return ApiErrorAnswer(
        duplicate=duplicate,
        errors_in_window=state.breaker.api_errors.count(turn.now, window),
        sequence=state.last_sequence,
        status=short_status(state),
    )
