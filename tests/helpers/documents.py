"""Running the blocks of a page, as a reader would: in order, in one folder and one namespace.

- A `python` block runs. One whose first line is `# NAME.py` is written to that file instead.
- An `sh` block runs line by line: `qrnn ...` and `python FILE ...` in this process, which has
  imported what they need, the rest in a shell.
- A `text` block right behind one of these is what it prints. `...` stands for anything, whole
  numbers must be equal, those with a decimal point to a quarter (machines differ), seconds not at
  all. Where it has a line `qrnn: ...`, the command must fail with that error.
- A block after the comment `<!-- not run: REASON -->` does not run; readers do not see the comment.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import traceback
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qrnn.cli import main

SECONDS = 240
RUNNABLE = ("python", "sh")
FENCE = re.compile(
    r"^(?: *<!-- not run: (?P<reason>[^\n]*) -->\n)?"
    r"(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
ANY_NUMBER = r"(-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: name of the page's file.
        line: of its first line of code, counted from 1.
        language: of the fence.
        code: without the fence's indentation.
        output: text of a `text` block right behind it; None: there is none.
        not_run: why the tests do not run it; None: they do.
    """

    page: str
    line: int
    language: str
    code: str
    output: str | None
    not_run: str | None = None

    @property
    def runs(self) -> bool:
        """Whether the tests run it."""
        return self.language in RUNNABLE and self.not_run is None

    @property
    def file(self) -> str | None:
        """The file that it is written to, if it is one."""
        match = re.match(r"# (\w+\.py)\n", self.code)
        return match[1] if self.language == "python" and match else None


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page, but for the outputs of others."""
    text = path.read_text(encoding="utf-8")
    matches = list(FENCE.finditer(text))
    found: list[Block] = []
    is_output = False
    for number, match in enumerate(matches):
        after = matches[number + 1] if number + 1 < len(matches) else None
        if is_output:
            is_output = False
            continue
        between = text[match.end() : after.start()] if after is not None else "-"
        is_output = (
            match["language"] in RUNNABLE
            and after is not None
            and after["language"] == "text"
            and not between.strip()
        )
        found.append(
            Block(
                path.name,
                text.count("\n", 0, match.start("code")) + 1,
                match["language"],
                unindented(match["code"], match["indent"]),
                unindented(after["code"], after["indent"]) if is_output and after else None,
                match["reason"],
            )
        )
    return found


def unindented(code: str, indent: str) -> str:
    """Return code without what its fence is indented by."""
    return re.sub(f"^{indent}", "", code, flags=re.MULTILINE)


def tidy(text: str) -> str:
    """Return text without what depends on the widths of numbers."""
    lines = (" ".join(re.sub("[━─]+", "-", line).split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def difference(expected: str, printed: str) -> str | None:
    """Return what is wrong with an output, or None."""
    expected, printed = tidy(expected), tidy(printed)
    numbers: list[tuple[str, str]] = []  # as the page has them, and what follows
    pattern, at = "", 0
    for match in NUMBER.finditer(expected):
        pattern += literal(expected[at : match.start()]) + ANY_NUMBER
        numbers.append((match[0], expected[match.end() : match.end() + 2]))
        at = match.end()
    found = re.fullmatch(pattern + literal(expected[at:]), printed)
    if found is None:
        return f"the page has\n{expected}\n\nbut it printed\n{printed}"
    for (wanted, behind), got in zip(numbers, found.groups(), strict=True):
        if behind != " s" and not close(wanted, got):
            return f"the page has {wanted}, but it printed {got}:\n{printed}"
    return None


def literal(text: str) -> str:
    """Return a pattern for text in which `...` stands for anything."""
    return r"[\s\S]*?".join(map(re.escape, text.split("...")))


def close(wanted: str, got: str) -> bool:
    """Return whether two numbers are the same, as far as machines agree."""
    if "." not in wanted and "e" not in wanted:
        return wanted == got
    a, b = (float(number.replace(",", "")) for number in (wanted, got))
    return abs(a - b) <= 0.25 * max(abs(a), abs(b)) + 1e-4


def run_page(path: Path, folder: Path, processes: Any) -> str | None:
    """Run a page's blocks in a folder; return what went wrong first, or None.

    Args:
        path: the page.
        folder: where it runs.
        processes: a multiprocessing context: Python has one process a page, each command its own.
    """
    here, there = processes.Pipe()
    interpreter = processes.Process(target=run_python, args=(there, folder), daemon=True)
    interpreter.start()
    there.close()
    wrong = None
    for block in (block for block in blocks(path) if block.runs):
        if block.file is not None:
            (folder / block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            here.send(block)
            wrong = here.recv() if here.poll(SECONDS) else f"ran for more than {SECONDS} s"
        else:
            wrong = run_shell(block, folder, processes)
        if wrong:
            wrong = f"{block.page}:{block.line}\n{wrong}"
            break
    interpreter.kill()
    return wrong


def run_python(connection: Any, folder: Path) -> None:
    """Run the blocks that come through a connection in one namespace; send what is wrong."""
    os.chdir(folder)
    page = types.ModuleType("__main__")  # where classes of the blocks are looked up
    sys.modules["__main__"] = page
    while True:
        block = connection.recv()
        try:
            code = compile("\n" * (block.line - 1) + block.code, block.page, "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, vars(page))
        except BaseException:
            connection.send(traceback.format_exc())
        else:
            printed = out.getvalue()
            wrong = None if block.output is None else difference(block.output, printed)
            connection.send(wrong)


def run_shell(block: Block, folder: Path, processes: Any) -> str | None:
    """Run the lines of a block; return what is wrong with statuses or output."""
    fails = block.output is not None and re.search("^qrnn: ", block.output, re.MULTILINE)
    printed = ""
    for line in block.code.replace("\\\n", " ").splitlines():
        if not shlex.split(line, comments=True):
            continue
        process = processes.Process(target=run_command, args=(line, folder))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            return f"{line}\nran for more than {SECONDS} s"
        out, err = (shown(folder / name) for name in ("out", "err"))
        printed += out + "".join(re.findall("^qrnn: .*\n", err, re.MULTILINE))
        if bool(process.exitcode) != bool(fails):
            return f"{line}\nended with status {process.exitcode}\n{out}\n{err}"
    return None if block.output is None else difference(block.output, printed)


def shown(path: Path) -> str:
    """Return what a terminal would show of a command's output: no progress that was overwritten."""
    with open(path, encoding="utf-8", newline="") as file:
        return re.sub(r"^.*\r(?!\n)", "", file.read(), flags=re.MULTILINE)


def run_command(line: str, folder: Path) -> None:
    """Run a line and end this process; what it prints is in the files `out` and `err`."""
    os.chdir(folder)
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    arguments = shlex.split(line, comments=True)
    if arguments[0] == "qrnn":
        sys.argv = arguments
        main()
    elif arguments[0] == "python":
        sys.argv = arguments[1:]
        runpy.run_path(arguments[1], run_name="__main__")
    else:
        sys.exit(subprocess.run(["sh", "-c", line], timeout=SECONDS).returncode)
