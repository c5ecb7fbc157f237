"""Compiled kernels on disk: of the sources as they are, whoever runs them and wherever."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import qrnn
from qrnn.memory import backends
from qrnn.memory.kernels import cache as kernel_cache
from qrnn.memory.kernels.cache import KernelCache, digest
from qrnn.memory.kernels.cpu.jit import kernel_jit

pytestmark = pytest.mark.filterwarnings("ignore::numba.NumbaPerformanceWarning")
REPOSITORY = Path(qrnn.__file__).parent.parent
# <X> after RY(1) on |0>, by the kernels for single steps.
SINE = """
import pennylane as qml, torch
from qrnn import QRNN
rnn = QRNN(1, 1, ansatz=lambda a, w: qml.RY(a[0], w[0]), n_angles=1, readout="X", feedback=False,
           controller="linear", depth=0, bias_range=0.0)
with torch.no_grad():
    rnn.cell.controller[0].weight.fill_(1.0)
    rnn.cell.controller[0].bias.zero_()
rnn.cell.register_forward_hook(lambda *_: None)
print(round(rnn(torch.ones(1, 1, 1))[0].item(), 4))
"""


def doubled(x):
    return 2 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, the only one for kernels."""
    monkeypatch.setattr(kernel_cache, "cache_folders", lambda: iter([tmp_path]))
    return tmp_path


def hits(stamp="a", value=1.0):
    """Call a kernel whose sources have a stamp in a new process, as it were; return its hits."""
    compiled = kernel_jit(doubled)
    compiled._cache = KernelCache(doubled, stamp)
    assert compiled(value) == 2 * value
    return sum(compiled.stats.cache_hits.values())


def test_a_kernel_is_found_again_by_its_sources_alone(folder):
    assert [hits("a"), hits("a"), hits("b"), hits("a"), hits("a", np.float32(1))] == [0, 1, 0, 1, 0]
    assert len([*folder.iterdir()]) == 3


def test_only_a_compilation_is_announced_and_only_once(folder, caplog, monkeypatch):
    mine = "qrnn.memory.kernels.cpu.mine"
    monkeypatch.setattr(doubled, "__module__", mine)
    # numba imports a function's module when it reads the function from disk.
    monkeypatch.setitem(sys.modules, mine, sys.modules[__name__])
    announcer = backends._announce_compilation()
    for stamps in ("ab", "ab"):  # compiled, then found
        monkeypatch.setattr(announcer, "said", False)
        for stamp in stamps:
            hits(stamp)
        assert [one.message[:21] for one in caplog.records] == ["compiling the kernels"]


def test_a_damaged_file_is_compiled_and_replaced(folder):
    assert hits() == 0
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert [hits(), hits()] == [0, 1]


def test_without_a_home_no_folder_is_made_of_its_name(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert all(place.is_absolute() for place in kernel_cache.cache_folders())


def test_files_do_not_pile_up(folder, monkeypatch):
    monkeypatch.setattr(kernel_cache, "KEPT", 2)
    assert [hits("a"), hits("b"), hits("a"), hits("c")] == [0, 0, 1, 0]
    assert [hits("a"), hits("c"), hits("b")] == [1, 1, 0]


def test_every_source_is_part_of_the_key(tmp_path, monkeypatch):
    shutil.copytree(kernel_cache.SOURCES, tmp_path / "memory")
    assert digest(tmp_path / "memory") == kernel_cache.STAMP
    keys = {kernel_cache.STAMP}
    for file in [*(tmp_path / "memory").rglob("*.py")]:
        file.write_text(file.read_text() + "\n")
        keys.add(digest(tmp_path / "memory"))
    for module in (kernel_cache.numba, kernel_cache.llvmlite):
        monkeypatch.setattr(module, "__version__", "0")
        keys.add(digest(tmp_path / "memory"))
    sources = [*kernel_cache.SOURCES.rglob("*.py")]
    assert {"gates.py", "step.py", "sequence.py", "controller.py"} <= {one.name for one in sources}
    assert len(keys) == 1 + len(sources) + 2


def test_without_a_place_a_kernel_is_compiled_and_one_line_says_so(tmp_path, monkeypatch, caplog):
    (blocked := tmp_path / "file").touch()
    monkeypatch.setattr(kernel_cache, "cache_folders", lambda: iter([blocked / "a", blocked / "b"]))
    kernel_cache.warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert [hits(), hits()] == [0, 0]
    (said,) = caplog.messages
    assert said.startswith("compiled kernels cannot be saved")
    assert "NUMBA_CACHE_DIR" in said
    assert "\n" not in said


def test_a_temporary_folder_that_others_can_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    own = kernel_cache.private_temp_dir()
    assert own.parent == tmp_path
    assert own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o777)
    assert kernel_cache.private_temp_dir() is None
    own.rmdir()
    own.symlink_to(tmp_path)
    assert kernel_cache.private_temp_dir() is None


def test_triton_gets_a_temporary_folder_where_it_has_none(tmp_path, monkeypatch, caplog):
    (tmp_path / ".triton").touch()
    monkeypatch.setenv("TRITON_HOME", str(tmp_path))
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    for kept in ("elsewhere", ""):
        monkeypatch.setenv("TRITON_CACHE_DIR", kept)
        kernel_cache.set_triton_cache_dir()
        assert os.environ["TRITON_CACHE_DIR"] == (
            kept or str(kernel_cache.private_temp_dir() / "triton")
        )
    (said,) = caplog.messages
    assert "TRITON_CACHE_DIR" in said


@pytest.fixture
def copy():
    """A copy of the package, laid out as it is installed, that every user may read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    ignored = shutil.ignore_patterns("__pycache__")
    for name, target in (("qrnn", ""), ("devices", "devices"), ("configs", "configs")):
        shutil.copytree(
            REPOSITORY / name, folder / "qrnn" / target, ignore=ignored, dirs_exist_ok=True
        )
    yield folder
    shutil.rmtree(folder)


def sine(copy, *prefix, **environment):
    """Return what SINE prints, and what it says, in a process of its own."""
    ours = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    clean |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [*prefix, sys.executable, "-c", SINE]
    done = subprocess.run(command, cwd=copy, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout), done.stderr


@pytest.mark.slow
def test_an_edit_of_a_callee_is_seen_at_once(copy):
    path = copy / "qrnn/memory/kernels/cpu/gates.py"
    source = path.read_text()
    assert sine(copy)[0] == 0.8415
    edited = source.replace("c * a - s * b)", "c * a + s * b)").replace(
        "s * a + c * b", "c * b - s * a"
    )
    assert edited != source
    path.write_text(edited)
    assert sine(copy)[0] == -0.8415
    path.write_text(source)
    assert sine(copy)[0] == 0.8415
    assert len([*(copy / "qrnn/memory/kernels/__pycache__").glob("*.nbc")]) == 2


@pytest.mark.slow
def test_a_user_without_a_home_in_a_package_that_is_read_only(copy):
    temporary, user, prefix = copy / "temporary", os.getuid(), []
    temporary.mkdir()
    if user == 0:  # a user that nobody knows, but who may read what root has installed
        user, may = 54321, "=+dac_read_search"
        os.chown(temporary, user, user)
        prefix = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            f"--inh-caps{may}",
            f"--ambient-caps{may}",
            "env",
            "-u",
            "HOME",
        ]
    folders = [copy, *(p for p in copy.rglob("*") if p.is_dir() and p != temporary)]
    for folder in folders:
        folder.chmod(0o555)
    try:
        where = {"HOME": "/nonexistent", "TMPDIR": str(temporary), "MPLCONFIGDIR": str(temporary)}
        value, said = sine(copy, *prefix, **where)
        assert value == 0.8415
        first, second = said.splitlines()
        assert first.startswith("compiling the kernels")
        assert second.startswith(f"compiled kernels are saved only to {temporary}")
        assert sine(copy, *prefix, **where) == (0.8415, "")  # found
        shutil.rmtree(own := temporary / f"qrnn-{user}")
        own.touch()
        value, said = sine(copy, *prefix, **where)
        assert value == 0.8415
        first, second = said.splitlines()
        assert first.startswith("compiling the kernels")
        assert second.startswith("compiled kernels cannot be saved")
    finally:
        for folder in folders:
            folder.chmod(0o755)
