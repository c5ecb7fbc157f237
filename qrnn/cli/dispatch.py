"""The command line: `qrnn train`, `evaluate`, `inspect`, `report` and others, run by Hydra."""

from __future__ import annotations

import codecs
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO, TextIOWrapper

from qrnn.cli import commands

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
    from hydra.core.hydra_config import HydraConfig

    from qrnn.cli import made_folders
    from qrnn.cli.errors import check_arguments
    from qrnn.config import register_schemas

    @functools.wraps(task)
    def job(config) -> None:
        # Lightning starts further processes with the arguments of this one, the command included.
        sys.argv.insert(1, task.__name__)
        # Caught here, since Hydra would first print a line of its own.
        with made_folders.job(HydraConfig.get().runtime.output_dir), _one_line_errors():
            task(config)
        sys.argv.pop(1)

    check_arguments(sys.argv[1:])
    register_schemas(sys.argv[1:])
    run = hydra.main(version_base="1.3", config_path="pkg://qrnn.configs", config_name=config_name)
    if {"-h", "--help"} & {*sys.argv}:
        _help(run(job), config_name)
    else:
        _run(run(job))


def _run(run: Callable[[], None]) -> None:
    """Run Hydra; what it cannot read is refused, and a refused run leaves no folder."""
    from qrnn.cli.errors import fail, one_line
    from qrnn.cli.made_folders import noting

    with noting():
        try:
            run()
        except Exception as error:  # no job lets one out: so it is of the arguments, or of YAML
            fail(one_line(error))


def _help(run: Callable[[], None], command: str) -> None:
    """Print Hydra's help of a command, with what its keys mean."""
    from qrnn.cli.help import explained

    with redirect_stdout(StringIO()) as told:
        try:
            _run(run)
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


# What a terminal without UTF-8 shows of the drawings; of all else it shows `?`.
ASCII = str.maketrans("─│┤├╭╰╮╯●○═║╔╚╗╝…", "-||+++++*o=|++++.")


def _as_ascii(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks, as Python's codecs ask for it."""
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end].translate(ASCII)
    return "".join(c if c.isascii() else "?" for c in lacking), error.end


def main() -> None:
    """Entry point of the `qrnn` command."""
    codecs.register_error("qrnn.ascii", _as_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not a notebook's
            stream.reconfigure(errors="qrnn.ascii")
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    if sys.argv[1] in ("-V", "--version"):
        from qrnn import __version__

        print(f"qrnn {__version__}")
        return
    if broken := [one for one in sys.argv if one.encode(errors="replace").decode() != one]:
        from qrnn.cli.errors import fail

        fail(f"arguments must be UTF-8, got {broken[0]!r}")
    command = sys.argv.pop(1)
    if command not in COMMANDS:
        from qrnn.cli.errors import fail
        from qrnn.utils.registry import unknown_name

        fail(str(unknown_name("command", command, COMMANDS)))
    warnings.filterwarnings("ignore", module=r"hydra\.")  # several lines, of its own versions
    # Hydra prints its own several lines otherwise, and hides the exception's type.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with _one_line_errors():
        COMMANDS[command]()
        sys.stdout.flush()  # here, where it is noticed that nobody reads on


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the process with one line: with status 2 for an error that the user can mend, else 1."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        from qrnn.cli.errors import fail

        fail(str(interrupt) or "interrupted", status=130)
    except BrokenPipeError:  # `qrnn export ... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
        sys.exit(1)
    except Exception as error:
        from qrnn.cli.errors import fail, fault, mendable, one_line

        if not mendable(error):
            fault(error)
        fail(one_line(error))
