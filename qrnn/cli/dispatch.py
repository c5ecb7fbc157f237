"""Entry point of the command line; most commands run under Hydra."""

from __future__ import annotations

import codecs
import functools
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO, TextIOWrapper
from typing import Any

from qrnn.cli import commands
from qrnn.cli.devices import devices
from qrnn.utils import program

USAGE = """\
qrnn: recurrent networks whose hidden state is a quantum state

  qrnn train                       train on the handwritten digits
  qrnn train task=forecast task.file=FILE task.target=COLUMN task.time=COLUMN
                                   train on a table of yours
  qrnn train --help                list all keys that can be set
  qrnn evaluate checkpoint=FILE device=NAME
                                   evaluate a checkpoint on any device
  qrnn predict checkpoint=FILE input=new.csv
                                   predict new rows of a table
  qrnn inspect checkpoint=FILE index=12
                                   plot the quantum state along a sequence
  qrnn export checkpoint=FILE format=qasm3
                                   export a circuit for other programs
  qrnn report run=FOLDER           write an HTML report of a run
  qrnn estimate checkpoint=FILE device=ibm_fez
                                   estimate the QPU time; nothing is submitted
  qrnn devices [NAME]              list devices and which work on this machine
  qrnn draw model.n_qubits=4       draw the circuit of one time step

Options are key=value, as in Hydra; `qrnn COMMAND --help` lists those of a
command. For TAB completion see `qrnn completion --help`; `qrnn --version`
prints the version. The exit status of an error is 2.
"""


def _with_hydra(task: Callable, config_name: str) -> None:
    """Run a command under Hydra, so that multirun, sweepers and launchers work."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    from qrnn.cli import hydra_files, sweeps
    from qrnn.cli.errors import check_arguments
    from qrnn.cli.run_config import with_run_config
    from qrnn.config.store import primary_config, register_schemas

    given, started = sys.argv[1:], program.started()

    @functools.wraps(task)
    def job(config) -> Any:
        # Caught here, before Hydra prints a line of its own.
        errors = _one_line_errors if sweeps.alone() else sweeps.errors_for_the_sweeper
        with errors():
            folder = HydraConfig.get().runtime.output_dir
        composed = sys.argv
        # A launcher may have other processes.
        with program.running(started), hydra_files.job(folder), errors():
            # Lightning starts more processes with these arguments.
            sys.argv = [composed[0], task.__name__, *given]
            try:
                return task(config)
            finally:
                sys.argv = composed

    check_arguments(task.__name__, given)
    sys.argv[1:] = with_run_config(given) if task.__name__ == "train" else given
    if {"-m", "--multirun"} & {*given} and not any("hydra_logging" in one for one in given):
        # A line for each job. Beside the other overrides: argparse allows no others after a flag.
        overrides = (i for i, one in enumerate(sys.argv) if i and re.match(r"[+~]*[\w./@]+=", one))
        at = next(overrides, 1)
        sys.argv.insert(at, "hydra/hydra_logging=default")
    register_schemas(sys.argv[1:])
    name = config_name
    if any(re.match(r"\+*(resume|finetune)=", one) for one in given):
        from qrnn.training.run import checkpoint_groups

        name = primary_config(config_name, checkpoint_groups(given))
    run = hydra.main(version_base="1.3", config_path="pkg://qrnn.configs", config_name=name)
    if {"-h", "--help"} & {*sys.argv}:
        _help(run(job), config_name)
    else:
        _run(run(job))


def _run(run: Callable[[], None]) -> None:
    """Run Hydra; report its errors in one line, and leave no folder after an error."""
    from qrnn.cli.errors import fail, one_line
    from qrnn.cli.hydra_files import removed_on_failure

    with removed_on_failure():
        try:
            run()
        except Exception as error:  # jobs raise none: it is about the arguments or YAML
            fail(one_line(error))


def _help(run: Callable[[], None], command: str) -> None:
    """Print Hydra's help of a command, with a description of each key."""
    from qrnn.cli.help import add_descriptions

    with redirect_stdout(StringIO()) as captured:
        try:
            _run(run)
        except SystemExit as end:  # Hydra exits after printing its help
            if end.code:
                raise
    print(add_descriptions(captured.getvalue(), command))


COMMANDS: dict[str, Callable[[], None]] = {
    "train": lambda: _with_hydra(commands.train, "train"),
    "evaluate": lambda: _with_hydra(commands.evaluate, "evaluate"),
    "predict": lambda: _with_hydra(commands.predict, "predict"),
    "inspect": lambda: _with_hydra(commands.inspect, "inspect"),
    "export": lambda: _with_hydra(commands.export, "export"),
    "estimate": lambda: _with_hydra(commands.estimate, "estimate"),
    "report": lambda: _with_hydra(commands.report, "report"),
    "draw": lambda: _with_hydra(commands.draw, "draw"),
    "devices": devices,
    "completion": lambda: commands.completion(COMMANDS),
}


# Replacements for box-drawing characters in terminals without UTF-8; others become `?`.
ASCII = str.maketrans("─│┤├╭╰╮╯●○═║╔╚╗╝…", "-||+++++*o=|++++.")


def _as_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks; an error handler of `codecs`."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end].translate(ASCII)
    return "".join(c if c.isascii() else "?" for c in lacking), error.end


def main() -> None:
    """Entry point of the `qrnn` command."""
    codecs.register_error("qrnn.ascii", _as_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not a notebook's
            stream.reconfigure(errors="qrnn.ascii")
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help", "-V", "--version"):
        with _one_line_errors():
            print(_version() if sys.argv[1:2] in (["-V"], ["--version"]) else USAGE, end="")
            sys.stdout.flush()
        return
    if broken := [one for one in sys.argv if one.encode(errors="replace").decode() != one]:
        from qrnn.cli.errors import fail

        fail(f"arguments must be UTF-8, got {broken[0]!r}")
    command = sys.argv[1]
    if command not in COMMANDS:
        from qrnn.cli.errors import fail
        from qrnn.utils.registry import unknown_name

        fail(str(unknown_name("command", command, COMMANDS)))
    logging.getLogger("alembic").setLevel(logging.WARNING)  # of Optuna; it lists its own plug-ins
    warnings.filterwarnings("ignore", module=r"hydra\.")  # about Hydra's own versions
    # Otherwise Hydra prints several lines and hides the exception's type.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with program.running(), _one_line_errors():
        del sys.argv[1]
        COMMANDS[command]()
        sys.stdout.flush()  # raises BrokenPipeError here, where it is handled


def _version() -> str:
    from qrnn import __version__

    return f"qrnn {__version__}\n"


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Exit with one line on an error: status 2 for a user error, 130 for Ctrl-C, else 1."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        # What `fail` needs may be half imported.
        print(f"qrnn: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader has closed the pipe, as in `qrnn export ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(1)
    except Exception as error:
        from qrnn.cli.errors import fail, fault, is_user_error, one_line

        if not is_user_error(error):
            fault(error)
        fail(one_line(error))
