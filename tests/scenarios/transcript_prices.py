"""Recorded closing prices for the transcripts from real markets (examples/data says whose)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

from examples.market import RECORDED_PRICES, Prices, load_prices
from tests.scenarios.transcript_language import TranscriptError

RECORDS: Final = (RECORDED_PRICES, RECORDED_PRICES.parent / "prices-sp500-20-2020.csv.gz")


def closes_on(day: date) -> dict[str, Decimal]:
    """Return each symbol's close on `day`; TranscriptError where it was no trading day."""
    for path in RECORDS:
        prices = _load(path)
        if day in prices.days:
            return prices.on(prices.days.index(day))
    raise TranscriptError(f"{day} is in no record of prices")


@cache
def _load(path: Path) -> Prices:
    return load_prices(path)
