"""A small twin on disk, made once, and a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lawful.domains.emg.twin import Twin, write_twin

SMALL = Twin(users=2, test_users=1, train_sessions=1, train_minutes=0.4, other_minutes=0.3)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the official layout: five sessions, metadata.csv and split/generic.yaml."""
    folder = tmp_path_factory.mktemp("recordings")
    write_twin(SMALL, folder)
    return folder
