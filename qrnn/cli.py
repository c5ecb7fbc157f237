"""The command line: `qrnn train`, `evaluate`, `inspect`, `report` and others, run by Hydra."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

from qrnn import commands

USAGE = """\
qrnn: recurrent networks whose hidden state is a quantum state

  qrnn train                       train the handwritten digits on this machine
  qrnn train --help                all that can be configured
  qrnn evaluate checkpoint=FILE device=NAME
                                   evaluate a checkpoint on another device
  qrnn inspect checkpoint=FILE index=12
                                   the state along a sequence, in pictures
  qrnn export checkpoint=FILE format=qasm3
                                   a circuit that it runs, for other programs
  qrnn report run=FOLDER           one page of all of it, for a browser
  qrnn estimate checkpoint=FILE device=ibm_torino
                                   what that would cost; nothing is sent
  qrnn devices [NAME]              the devices, and which of them can run here
  qrnn draw model.n_qubits=4       the circuit of one time step, and its size

Options are key=value, as in Hydra: `qrnn COMMAND --help` has a command's own.
`qrnn completion --help` tells how TAB completes them, `qrnn --version` which
this is. Errors have status 2.
"""


def _with_hydra(task: Callable, config_name: str) -> None:
    """Run a command under Hydra, so that multirun, sweepers and launchers work."""
    import hydra

    from qrnn.cli_errors import check_arguments
    from qrnn.config import register_schemas
    from qrnn.errors import ConfigError

    @functools.wraps(task)
    def job(config) -> None:
        # Lightning starts further processes with the arguments of this one, the command included.
        sys.argv.insert(1, task.__name__)
        # Caught here, since Hydra would first print a line of its own.
        with _one_line_errors():
            task(config)
        sys.argv.pop(1)

    check_arguments(sys.argv[1:])
    register_schemas(sys.argv[1:])
    run = hydra.main(version_base="1.3", config_path="pkg://qrnn.configs", config_name=config_name)
    try:
        if {"-h", "--help"} & {*sys.argv}:
            _help(run(job), config_name)
        else:
            run(job)()
    except ValueError as error:
        if not str(error).startswith("Config group override"):  # Hydra's, of task=null or model=3
            raise
        raise ConfigError(
            "a group must be given by name, such as model=lstm: no number, no null"
        ) from error


def _help(run: Callable[[], None], command: str) -> None:
    """Print Hydra's help of a command, with what its keys mean."""
    from qrnn.key_help import explained

    with redirect_stdout(StringIO()) as told:
        try:
            run()
        except SystemExit as end:  # so Hydra ends its help
            if end.code:
                raise
    print(explained(told.getvalue(), command))


COMMANDS: dict[str, Callable[[], None]] = {
    "train": lambda: _with_hydra(commands.train, "train"),
    "evaluate": lambda: _with_hydra(commands.evaluate, "evaluate"),
    "inspect": lambda: _with_hydra(commands.inspect, "inspect"),
    "export": lambda: _with_hydra(commands.export, "export"),
    "estimate": lambda: _with_hydra(commands.estimate, "estimate"),
    "report": lambda: _with_hydra(commands.report, "report"),
    "draw": lambda: _with_hydra(commands.draw, "draw"),
    "devices": commands.devices,
    "completion": lambda: commands.completion(COMMANDS),
}


def main() -> None:
    """Entry point of the `qrnn` command."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    if sys.argv[1] in ("-V", "--version"):
        from qrnn import __version__

        print(f"qrnn {__version__}")
        return
    command = sys.argv.pop(1)
    if command not in COMMANDS:
        from qrnn.cli_errors import fail
        from qrnn.registry import unknown_name

        fail(str(unknown_name("command", command, COMMANDS)))
    # Hydra prints its own several lines otherwise, and hides the exception's type.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with _one_line_errors():
        COMMANDS[command]()
        sys.stdout.flush()  # here, where it is noticed that nobody reads on


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the process with one line and status 2 for an error that the user can mend."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        from qrnn.cli_errors import fail

        fail(str(interrupt) or "interrupted", status=130)
    except BrokenPipeError:  # `qrnn export ... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        sys.exit(1)
    except Exception as error:
        from qrnn.cli_errors import fail, mendable, one_line

        if not mendable(error):
            raise
        fail(one_line(error))
