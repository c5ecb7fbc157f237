"""The documents: every block of code runs, every link leads somewhere."""

import multiprocessing
import re
from multiprocessing import forkserver

import matplotlib
import pytest

from helpers.documents import FENCE, RUNNABLE, blocks, difference, run_page
from helpers.paths import ROOT
from helpers.slow import slow_but
from qrnn.cli.dispatch import COMMANDS

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
]
# Written by `make results`; its commands take hours, and test_results.py checks their grid.
GENERATED = {"results.md", "forecasting.md"}
# How many blocks of a page cannot run here; a comment before each says why.
NOT_RUN_HERE = {
    "README.md": 4,
    "CONTRIBUTING.md": 2,
    "estimators.md": 1,
    "devices.md": 2,
    "hardware-experiments.md": 7,
    "hardware.md": 3,
    "index.md": 1,
    "interoperation.md": 3,
    "own-data.md": 2,
    "performance.md": 4,
    "pretrained.md": 1,
    "scaling.md": 4,
    "tasks.md": 1,
}
LANGUAGES = {*RUNNABLE, "text", "yaml"}
ASKED = rf"qrnn (?:{'|'.join(COMMANDS)})\b|python3? (?:-m|\S+\.py)\b|pip install|make \w+$"
COMMAND = re.compile(rf"^\s*(?:\$ )?(?:{ASKED}).*", re.MULTILINE)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Return processes that have imported what the pages need, but run nothing yet."""
    # One thread each: several pools that share two cores wait for each other.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("NUMBA_NUM_THREADS", "1")
        patch.delenv("QISKIT_IBM_TOKEN", raising=False)  # no account, whoever runs the tests
        patch.setenv("MPLCONFIGDIR", matplotlib.get_configdir())  # its list of fonts takes seconds
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["qrnn.cli", "qrnn.training.trainer", "qrnn.evaluation.evaluation"]
        )
        forkserver.ensure_running()
        yield context


PAGES = [path for path in DOCUMENTS if any(block.runs for block in blocks(path))]


QUICK = [path for path in PAGES if path.stem in ("README", "extend")]


@pytest.mark.parametrize("path", slow_but(PAGES, *QUICK), ids=lambda path: path.stem)
def test_the_blocks_of_a_page_run_and_print_what_it_says(path, processes, tmp_path):
    wrong = run_page(path, tmp_path, processes)
    assert wrong is None, wrong


def test_what_does_not_run_is_marked_and_counted():
    found = {}
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        reasons = [block.not_run for block in blocks(path) if block.not_run is not None]
        assert len(reasons) == len(re.findall("^ *<!-- not run", text, re.MULTILINE)), path.name
        assert all(len(reason) > 5 for reason in reasons), path.name
        if reasons:
            found[path.name] = len(reasons)
    assert found == NOT_RUN_HERE


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_no_command_stands_outside_a_block_that_runs(path):
    if path.name in GENERATED:
        return
    text = path.read_text(encoding="utf-8")
    for block in blocks(path):
        assert block.language in LANGUAGES, f"{path.name}:{block.line}: {block.language!r}"
    assert "```" not in FENCE.sub("", text), "a fence must be ```LANGUAGE alone"
    rest = re.sub(r"^( *)```(?:python|sh)\n.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert [match[0].strip() for match in COMMAND.finditer(rest)] == []


def test_files_that_a_page_writes_are_run_by_it():
    for path in DOCUMENTS:
        shell = "\n".join(block.code for block in blocks(path) if block.language == "sh")
        for block in blocks(path):
            if block.file is not None:
                assert f"python {block.file}" in shell, f"{path.name}:{block.line}"


def test_commands_in_the_documents_exist():
    for path in DOCUMENTS:
        for command in re.findall(
            r"(?:^\s*|`)qrnn (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert command in COMMANDS, f"{path.name}: qrnn {command}"


def test_links_between_documents_lead_somewhere():
    for path in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            target = path.parent / link
            notebook = target.with_suffix(".ipynb")  # the site's page is made of it
            assert target.exists() or notebook.exists(), f"{path.name}: {link}"


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("seqs 360 in 1.0 s", "seqs  360 in 73.2 s", True),
        ("seqs 360", "seqs 361", False),
        ("accuracy 96.4%", "accuracy 91.0%", True),
        ("accuracy 96.4%", "accuracy 9.6%", False),
        ("RMS 6.8e-07", "RMS 1.2e-08", True),
        ("RMS 0.147", "RMS 0.247", False),
        ("first\n...\nlast", "first\nmany\nlines\nlast", True),
        ("first\n...\nlast", "first\nmany\nlines", False),
        ("│ fused │ ━━━ │", "│ fused    │ ━━━━━━ │", True),
        ("fused", "fuse", False),
        ("a b", "a b c", False),
    ],
)
def test_outputs_are_compared_as_far_as_machines_agree(expected, printed, same):
    assert (difference(expected, printed) is None) == same
