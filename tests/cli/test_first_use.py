"""What a new user meets first: help, completion, progress."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import pytest

from qrnn.cli.dispatch import COMMANDS
from qrnn.cli.help import meanings
from qrnn.config import COMMAND_SCHEMAS, TrainerConfig
from qrnn.data import TASKS
from qrnn.devices import DeviceOptions
from qrnn.networks import NETWORKS

HELPFUL = {
    "train": ["task=mnist", "n_qubits: 6"],
    "evaluate": ["device=fake_fez", "device.max_qpu_seconds"],
    "predict": ["input=-", "plot"],
    "inspect": ["index=12"],
    "export": ["qasm3"],
    "estimate": ["nothing is submitted"],
    "report": ["output=both.html"],
    "draw": ["model.entangler=CRX"],
    "devices": ["e.g. fake_fez"],
    "completion": ["qrnn completion bash", "bashcompinit"],
}


@pytest.mark.core
def test_every_command_has_help_within_80_columns(qrnn_command):
    assert set(HELPFUL) == set(COMMANDS)
    for command, told in HELPFUL.items():
        status, out, err = qrnn_command(command, "--help")
        assert (status, err) == (0, ""), command
        assert max(map(len, out.splitlines())) < 80, command
        for words in told:
            assert words in out, command


@pytest.mark.core
def test_every_key_of_a_command_has_its_meaning_in_the_help(qrnn_command):
    schemas = [*COMMAND_SCHEMAS.values(), DeviceOptions, TrainerConfig]
    schemas += [table[name].schema for table in (TASKS, NETWORKS) for name in table]
    for schema in schemas:
        assert {field.name for field in fields(schema)} <= {*meanings(schema)}, schema
    out = qrnn_command("train", "task=copying", "model=qlstm", "--help")[1]
    for words in (
        r"  delay: 100 +T, steps from the last input symbol to the first\n {30}one to repeat",
        r"  name: fused +a name .*\n {30}an IBM backend, e\.g\. ibm_fez",
        r"  n_qubits: \d+ +\w",
        r"resume: null +checkpoint to resume from",
    ):
        assert re.search(rf"^{words}", out, re.MULTILINE), words
    assert "None" not in out


def test_the_help_of_train_names_all_tasks_and_models(qrnn_command):
    out = qrnn_command("train", "--help")[1]
    told = re.search(r"task +(.*?)\nmodel +(.*?)\ndevice", out, re.DOTALL)
    assert [re.split(r",\s+", names) for names in told.groups()] == [
        sorted(TASKS),
        sorted(NETWORKS),
    ]


def test_python_and_its_heavy_packages_start_only_when_needed():
    code = "import sys, qrnn.cli; qrnn.cli.main(); print({'torch', 'pennylane'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "qrnn train" in done.stdout
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["devices", "--all"], "unrecognized arguments: --all: see `qrnn devices --help`"),
        (["completion"], "arguments are required: shell: see `qrnn completion --help`"),
        (["completion", "csh"], "shell 'csh' is not known: Allowed: bash"),
    ],
)
def test_wrong_arguments_are_one_line(qrnn_command, arguments, message):
    status, out, err = qrnn_command(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


# What stands before TAB, and what bash is offered: after `=` the value alone.
TABS = [
    ("qrnn ev", ["evaluate "]),
    ("qrnn train mod", ["model.", "model="]),
    ("qrnn train task=dna model.n_q", ["model.n_qubits="]),
    ("qrnn draw model.n_q", ["model.n_qubits="]),
    ("qrnn train task=mn", ["mnist ", "mnist_binary "]),
    ("qrnn train model.feedback=", ["true ", "false "]),
    ("qrnn train --mul", ["--multirun "]),
    ("qrnn evaluate device=fake_fe", ["fake_fez "]),
    ("qrnn evaluate checkpoint=ru", ["runs/"]),
    ("qrnn evaluate checkpoint=runs/a", ["runs/a file.ckpt "]),
    ("qrnn evaluate  split=val checkpoint=x de", ["device.", "device="]),
    ("qrnn devices fake_fe", ["fake_fez "]),
    ("qrnn completion b", ["bash "]),
    ("qrnn train task=nothing", []),
    ("qrnn evaluate checkpoint=nothing", []),
    ("qrnn fly", []),
]


@pytest.fixture
def completed(tmp_path, qrnn_command):
    """What completes a line in a shell: (shell, code that uses the script, its output)."""

    def run(shell, code):
        if shutil.which(shell) is None:
            pytest.skip(f"no {shell} here")
        status, script, _ = qrnn_command("completion", "bash")
        assert status == 0
        (tmp_path / "script").write_text(script)
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs/a file.ckpt").touch()
        options = {"zsh": ["-f"], "bash": ["--norc"]}[shell]
        done = subprocess.run(
            [shell, *options, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


def test_bash_completes_commands_keys_values_and_files(completed):
    lines = [f"COMP_LINE='{line}'; COMP_POINT={len(line)}; _qrnn; show" for line, _ in TABS]
    show = "show() { printf '%s;' \"${COMPREPLY[@]}\"; echo; }"
    told = completed("bash", "\n".join([". ./script", show, *lines]))
    for (line, offered), found in zip(TABS, told, strict=True):
        assert [word for word in found.split(";") if word] == offered, line


def test_zsh_completes_whole_words(completed):
    asked = ["qrnn ev", "qrnn train task=mn", "qrnn evaluate checkpoint=ru"]
    lines = [f"COMP_LINE='{line}'; COMP_POINT={len(line)}; _qrnn; show" for line in asked]
    show = "show() { printf '%s;' \"${COMPREPLY[@]}\"; echo; }"
    start = ["autoload -Uz compinit; compinit -u -D", "autoload -Uz bashcompinit; bashcompinit"]
    start += [". ./script", "emulate sh", show]
    told = [line.split(";") for line in completed("zsh", "\n".join(start + lines))]
    # zsh itself leaves out what does not begin with the word.
    for words, offered in zip(told, ["evaluate ", "task=mnist ", "checkpoint=runs/"], strict=True):
        assert offered in words
    assert "mnist " not in told[1]


def in_terminal(*arguments, cwd):
    """Return what `qrnn ARGUMENTS` shows in a terminal of 80 columns, without its colours."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "qrnn", *arguments],
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # the end, on Linux
        pass
    assert process.wait() == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_training_shows_the_time_that_is_left_of_the_whole_run(tmp_path):
    shown = in_terminal(
        "train",
        "model.n_qubits=2",
        "model.width=4",
        "trainer.epochs=2",
        "trainer.batch_size=64",
        "hydra.run.dir=run",
        cwd=tmp_path,
    )
    bars = [line for line in re.split(r"[\r\n]+", shown) if "batches" in line]
    assert re.match(r"epoch 1 of 2 \S+ +\d+/40 batches ", bars[0])
    assert re.match(
        r"epoch 2 of 2, accuracy \d\.\d+, val \d\.\d+ \S+ 40/40 batches 0:00:00", bars[-1]
    )
    assert max(map(len, bars)) < 80
