from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from index.storage import working_copies
from tests.helpers.stored_library import CountedStore, Machine


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> CountedStore:
    """An empty store; working copies of it are known for one test."""
    monkeypatch.setattr(working_copies, "_COPIES", {})
    return CountedStore()


@pytest.fixture
def machine(store: CountedStore, tmp_path: Path) -> Callable[[str], Machine]:
    """Machines by name."""
    return lambda name: Machine(tmp_path / name, store)
