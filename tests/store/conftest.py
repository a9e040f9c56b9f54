"""What holds for every test of the store: nothing is left in the machine's memory."""

from pathlib import Path

import pytest

from sidecar.store import poison_mark


@pytest.fixture(autouse=True)
def memory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that stands for the machine's memory, where a poison may be marked."""
    directory = tmp_path_factory.mktemp("memory")
    monkeypatch.setattr(poison_mark, "MEMORY_DIRECTORY", directory)
    return directory
