"""Runs against the double of IBM's service."""

import pytest

from helpers.crash_run import Run, T


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        whole = Run(tmp_path_factory.mktemp("undisturbed"), patch)
        table = whole.table()
        assert whole.submissions == T
    return table
