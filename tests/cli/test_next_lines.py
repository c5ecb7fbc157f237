"""Commands that are printed run as they are printed, in the shell's folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands import qrnn
from helpers.documents import blocks
from helpers.paths import ROOT
from helpers.report_pages import read
from helpers.slow import slow_but
from helpers.tables import series_file
from qrnn.cli.dispatch import COMMANDS
from qrnn.training.learner import Learner

AWKWARD = 'a=b, [c] {d} "e" it\'s $HOME (f) #ü'
TRAINER = ["trainer.epochs=1", "trainer.steps_per_epoch=1", "trainer.progress=false"]
HYBRID = ["model.n_qubits=2", "model.width=2", "model.layers=1"]
TINY = ["task=copying", "task.delay=2", "task.n_train=4", "task.n_val=2", "task.n_test=2", *TRAINER]
SMALL = [*TINY, *HYBRID]


def printed_commands(text, program="qrnn"):
    """Return the commands of a program in an output: after blanks, a colon, or in backticks."""
    start = re.escape(program)
    found = re.findall(
        rf"(?:^  (?:\w+ +)?|: |`)({start} (?:{'|'.join(COMMANDS)})\b[^`\n]*)", text, re.M
    )
    assert len(found) == len(re.findall(rf"(?<!\w){start} (?:{'|'.join(COMMANDS)})\b", text)), text
    return found


def words_of(line):
    """Return the words of a line, as a shell passes them on."""
    code = f'set -- {line}; for word; do printf "%s\\0" "$word"; done'
    done = subprocess.run(
        ["sh", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split("\0")[:-1]


def run_printed(text, cwd, expected=1):
    """Run the commands of an output, in this process; return what they print."""
    lines = printed_commands(text)
    assert len(lines) == expected, text
    out = ""
    for line in lines:
        done = qrnn(*words_of(line)[1:], cwd=cwd)
        assert done.returncode == 0, (line, done.stderr)
        out += done.stdout
    return out


def interrupt(monkeypatch, model):
    """Press Ctrl-C at the second epoch of a training of a model, once."""
    begin = Learner.on_train_epoch_start

    def press(learner):
        if learner.current_epoch == 1 and learner.config.model.name == model:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return begin(learner)

    monkeypatch.setattr(Learner, "on_train_epoch_start", press)


def hydra_dir(path):
    """Return a run's folder as an argument."""
    quoted = path.replace("'", "\\'")
    return f"hydra.run.dir='{quoted}'"


@pytest.mark.parametrize("chdir", slow_but(["true", "false"], "true"))
def test_after_a_training_from_another_folder_whose_path_has_any_characters(tmp_path, chdir):
    (here := tmp_path / "here").mkdir()
    done = qrnn(
        "train", *SMALL, hydra_dir(f"../{AWKWARD}/run"), f"hydra.job.chdir={chdir}", cwd=here
    )
    assert done.returncode == 0, done.stderr
    assert f"  checkpoint  ../{AWKWARD}/run/best.ckpt\n" in done.stdout
    run_printed(done.stdout, here)
    assert (tmp_path / AWKWARD / "run/evaluation-default.qubit.json").is_file()
    again = qrnn("train", *SMALL, hydra_dir(f"../{AWKWARD}/run"), cwd=here)
    assert "already holds a run: resume it with" in again.stderr
    run_printed(again.stderr, here)
    assert [one.name for one in here.iterdir()] == []


@pytest.mark.parametrize("model", slow_but(["hybrid", "gru"], "gru"))
def test_after_an_interruption(tmp_path, monkeypatch, model):
    given = [*SMALL, "trainer.epochs=2", "trainer.baselines=[gru]", "hydra.job.chdir=true"]
    interrupt(monkeypatch, model)
    done = qrnn("train", *given, hydra_dir(AWKWARD), cwd=tmp_path)
    assert (done.returncode, "interrupted in" in done.stdout) == (130, True), done.stderr
    stopped = [line for line in done.stdout.splitlines() if "  next" not in line]
    out = run_printed("\n".join(stopped), tmp_path)
    assert "2 epochs; best" in out
    assert "  baseline    gru" in out
    run_printed(out, tmp_path)


@pytest.mark.slow
def test_after_a_training_on_a_fake_backend(tmp_path):
    few = ["device=fake_manila", "device.shots=10", "device.seed=1", "task.n_train=2"]
    done = qrnn("train", *SMALL, "trainer=spsa", *few, *TRAINER, hydra_dir(AWKWARD), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run_printed(done.stdout, tmp_path)
    assert [*(tmp_path / AWKWARD).glob("evaluation-fake_manila*.json")]


def test_lists_and_errors(tmp_path):
    listed = qrnn("devices", cwd=tmp_path).stdout
    run_printed(listed.replace("NAME", "fused").replace("device=fused", ""), tmp_path, 2)
    for wrong in (["train", "device=fuse"], ["devices", "fuse"]):
        run_printed(qrnn(*wrong, cwd=tmp_path).stderr, tmp_path)
    for command in ("evaluate", "predict", "inspect", "export", "estimate", "report"):
        (example,) = printed_commands(qrnn(command, cwd=tmp_path).stderr)
        assert f"{example} ".startswith(f"qrnn {command} ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    series_file(folder)
    given = ["task=forecast", "task.file=series.csv", "task.target=y", "task.time=t"]
    given += ["task.window=3", "task.horizon=1", *HYBRID, *TRAINER]
    done = qrnn("train", *given, "hydra.run.dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


OTHERS = {
    "evaluate": ["limit=2", "device=default.qubit"],
    "predict": ["input=series.csv"],
    "inspect": ["formats=[svg]"],
    "export": ["output=a.qasm"],
    "estimate": ["device=aer", "device.shots=10", "limit=2"],
    "report": [],
    "draw": [],
}


@pytest.mark.parametrize("command", slow_but(OTHERS, "evaluate", "export", "draw"))
def test_after_another_command(trained, command):
    subject = {"report": ["run=run"], "draw": []}.get(command, ["checkpoint=run/best.ckpt"])
    done = qrnn(command, *subject, *OTHERS[command], cwd=trained)
    assert done.returncode == 0, done.stderr
    run_printed(done.stdout, trained, 0)  # 1, if it begins to print one


MODELS = {
    "mixed": [*HYBRID, "device=default.mixed"],
    "measured": [*HYBRID, "device=default.mixed", "model.readout_mode=measure"],
    "noisy": [*HYBRID, "device.noise=depolarizing", "device.strength=0.01"],
    "a backend's noise": [*HYBRID, "device.noise=fake_manila"],
    "trajectories": [*HYBRID, "device.noise=depolarizing", "device.strength=0.01"],
    "forgetting": [*HYBRID, "model.forget=constant"],
    "both directions": [*HYBRID, "model.bidirectional=true", "task=digits"],
    "gru": ["model=gru", "model.hidden_size=2"],
    "scornn": ["model=scornn", "model.hidden_size=4"],
    "orthogonal": ["model=orthogonal"],
    "data_register": ["model=data_register", "task=digits"],
    "qlstm": ["model=qlstm", "model.n_qubits=2"],
    "quantum_neuron": ["model=quantum_neuron", "task=elman_xor", "task.length=6"],
}
MODELS["trajectories"].append("device.trajectories=2")


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_after_the_training_of_any_model(tmp_path, model):
    task = [] if any(one.startswith("task=") for one in MODELS[model]) else TINY
    done = qrnn("train", *task, *TRAINER, *MODELS[model], "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run_printed(done.stdout.replace("device=default", "limit=2 device=default"), tmp_path)


@pytest.fixture
def programs(tmp_path):
    """The programs of the documents, in a folder."""
    for block in blocks(ROOT / "docs/extend.md"):
        if block.file:
            (tmp_path / block.file).write_text(block.code)
    return tmp_path


EXTENSIONS = {
    "brickwork.py": [*SMALL, "model.ansatz=brickwork"],
    "majority.py": ["task=majority", *HYBRID, *TRAINER],
    "gated.py": [*TINY, "model=gated", "model.n_qubits=2"],
    "-m qrnn": SMALL,
}


@pytest.mark.slow
@pytest.mark.parametrize("program", EXTENSIONS)
@pytest.mark.parametrize("where", [".", "sub"])
def test_after_the_training_of_ones_own_program(programs, program, where):
    (here := programs / where).mkdir(exist_ok=True)
    script = program if program.startswith("-m") else os.path.relpath(programs / program, here)
    python = f"{sys.executable} {script}"

    def shell(line):
        done = subprocess.run(line, shell=True, cwd=here, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    given = [*EXTENSIONS[program], "hydra.job.chdir=true", "hydra.run.dir='my runs/a=b'"]
    out = shell(f'{python} train {" ".join(given[:-1])} "{given[-1]}"')
    (line,) = printed_commands(out, python)
    shell(f"{line} limit=2")
    assert [*Path(here, "my runs/a=b").glob("evaluation-*.json")]


@pytest.mark.slow
def test_a_report_of_ones_own_program_that_lies_elsewhere(programs):
    def run(line, where):
        (cwd := programs / where).mkdir(exist_ok=True)
        done = subprocess.run(
            line,
            shell=True,
            cwd=cwd,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": os.defpath},  # which may have another Python
        )
        assert done.returncode == 0, done.stderr

    program = f"{sys.executable} ../brickwork.py"
    run(f"{program} train {' '.join(SMALL)} model.ansatz=brickwork hydra.run.dir=run", "trained")
    run(f"{program} evaluate checkpoint=run/best.ckpt limit=2", "trained")
    run(f"{sys.executable} -m qrnn report run=../trained/run", "shown")
    page = read(programs / "trained/run/report.html")
    (code,) = [text for text in page.named("code") if "brickwork.py train" in text]
    run(code, "shown")
    assert (programs / "trained/run-again/best.ckpt").is_file()
    assert [*(programs / "trained/run-again").glob("evaluation-*.json")]
