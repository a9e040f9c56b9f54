"""Tests of the core count as exactly as the core does; other tests keep their own arithmetic."""

from collections.abc import Iterator
from decimal import Context, Inexact, InvalidOperation, localcontext

import pytest


@pytest.fixture(autouse=True, scope="module")
def exact_arithmetic() -> Iterator[None]:
    """Give a module of core tests precision 200 with inexact results trapped (S2.1)."""
    with localcontext(Context(prec=200, traps=[Inexact, InvalidOperation])):
        yield
