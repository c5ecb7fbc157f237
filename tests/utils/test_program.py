"""How the command line was started, as it is printed in other commands."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from qrnn.config import compose
from qrnn.utils import program
from qrnn.utils.overrides import argument


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """A folder with a script `tool` on the PATH, and others outside it."""
    for folder in ("bin", "my tools"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").touch(mode=0o755)
    (tmp_path / "mine.py").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "script", "printed"),
    [
        (["python", "{}/bin/tool"], "{}/bin/tool", "tool"),
        (["python", "my tools/tool"], "my tools/tool", "'my tools/tool'"),
        (["python", "mine.py"], "mine.py", "python mine.py"),
        (["python3", "-X", "dev", "../x/mine.py"], "../x/mine.py", "python3 -X dev ../x/mine.py"),
        (["py thon", "-m", "qrnn"], "/site/qrnn/__main__.py", "'py thon' -m qrnn"),
        (["python", "-c", "main()"], "-c", "python -c 'main()'"),
        (["pytest", "--quiet"], "qrnn", "qrnn"),  # called by another program
        (["pytest", "--quiet"], "my mine.py", "python 'my mine.py'"),
    ],
)
def test_a_program_is_printed_as_it_was_typed(scripts, monkeypatch, typed, script, printed):
    given = ["train", "--quiet"]
    script = script.format(scripts)
    monkeypatch.setattr(sys, "argv", [script, *given])
    theirs = typed[0] == "pytest"
    words = [word.format(scripts) for word in typed]
    monkeypatch.setattr(sys, "orig_argv", words if theirs else [*words, *given])
    with program.running():
        assert program.command("evaluate", "a=b") == f"{printed} evaluate a=b"
    assert program.command("evaluate") == "qrnn evaluate"


def test_paths_are_those_of_the_shell_where_the_process_has_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with program.running():
        (tmp_path / "run").mkdir()
        monkeypatch.chdir("run")
        assert program.shown_path(tmp_path / "run/best.ckpt") == "run/best.ckpt"
        assert program.shown_path("best.ckpt") == "run/best.ckpt"
    assert program.shown_path(tmp_path / "run/best.ckpt") == "best.ckpt"


def test_this_environments_qrnn_is_found_by_a_shell(tmp_path, monkeypatch):
    script = Path(sys.executable).with_name("qrnn")
    monkeypatch.setenv("PATH", os.pathsep.join([str(script.parent), "/bin", "/usr/bin"]))
    if script.exists():
        assert program.installed() == "qrnn"
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    for folder in (tmp_path, script.parents[1]):
        monkeypatch.chdir(folder)
        line = f"{program.installed()} --version"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
        assert done.stdout.startswith("qrnn "), line


AWKWARD = [
    "a=b, [c] {d}",
    'it\'s "here" `x` $HOME; *?!',
    "${x}",
    "\\${oc.env:HOME}'${",
    "a\\",
    "~/x\ty\nz",
    "null",
    " ü #1",
    "-x@y:z|&()<>",
]


@pytest.mark.parametrize("path", AWKWARD)
def test_a_shell_and_hydra_pass_on_any_path(path):
    line = f"printf %s {argument('checkpoint', path)}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
    assert compose("evaluate", [done.stdout]).checkpoint == path
    assert len(shlex.split(line)) == 3
