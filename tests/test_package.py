"""The package as a user installs it: wheel and imports."""

import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from helpers.paths import ROOT
from qrnn.utils.checkpoints import shipped

OWN = "pennylane-qrnn"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, **options
    )


def test_import_is_quick_and_brings_no_extra():
    code = """
import time
start = time.process_time()
import sys, qrnn
seconds = time.process_time() - start
extras = ["qiskit", "qiskit_ibm_runtime", "qiskit_aer", "pennylane_qiskit", "datasets", "sktime"]
extras += ["huggingface_hub", "safetensors"]
print(min(seconds, 99), [name for name in extras if name in sys.modules])
"""
    # Its own time, the best of three: a busy machine or a cold disk is not the package's doing.
    runs = [python(code).stdout.split(" ", 1) for _ in range(3)]
    assert {loaded.strip() for _, loaded in runs} == {"[]"}
    assert min(float(seconds) for seconds, _ in runs) < 4


def link_requirements(site):
    """Link into `site` what the core dependencies, and theirs, have installed; nothing else."""
    root = Path(sysconfig.get_path("purelib"))
    wanted, seen = [OWN], set()
    while wanted:
        name = wanted.pop()
        distribution = importlib.metadata.distribution(name)
        for text in distribution.requires or []:
            requirement = Requirement(text)
            key = requirement.name.lower().replace("_", "-")
            if key not in seen and (
                requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ):
                seen.add(key)
                wanted.append(key)
        if name != OWN:
            for entry in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
                if not (site / entry).exists():
                    (site / entry).symlink_to(root / entry)


@pytest.mark.slow
def test_a_wheel_trains_in_an_environment_without_extras(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, ROOT],
        check=True,
        capture_output=True,
        timeout=240,
    )
    (wheel,) = tmp_path.glob("pennylane_qrnn-*.whl")
    packed = {*zipfile.ZipFile(wheel).namelist()}
    assert "qrnn/py.typed" in packed
    assert {f"qrnn/pretrained/{name}/model.ckpt" for name in shipped()} <= packed
    # A clean environment that sees what pip would install for the core, and no more.
    clean = tmp_path / "venv"
    venv.create(clean, with_pip=True)
    bare = clean / "bin" / "python"
    site = subprocess.run(
        [bare, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    link_requirements(Path(site))
    subprocess.run(
        [bare, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
        timeout=120,
    )
    run = subprocess.run(
        [
            clean / "bin" / "qrnn",
            "train",
            "trainer.epochs=1",
            "trainer.progress=false",
            "model.n_qubits=2",
            "hydra.run.dir=run",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "run" / "best.ckpt").is_file()
    ready = subprocess.run(
        [clean / "bin" / "qrnn", "evaluate", "checkpoint=sunspots"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ready.returncode == 0, ready.stderr
    assert "saved to runs/sunspots/evaluation-fused.json" in ready.stdout
    missing = subprocess.run(
        [clean / "bin" / "qrnn", "train", "device=fake_fez"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert missing.returncode == 2
    assert "pip install 'pennylane-qrnn[ibm]'" in missing.stderr


def constraints(name):
    """Return the versions of a constraints file, by normalised name."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    for line in lines:  # no address, no hash, no +cpu of one machine
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), f"{name}: {line}: run `make lock`"
    return {canonicalize_name(n): Version(v) for n, v in (line.split("==") for line in lines)}


def requirements(extras, groups):
    """Return the direct requirements: of the package, some of its extras and of groups of tools."""
    project = PROJECT["project"]
    found = [*project["dependencies"]]
    found += [text for extra in extras for text in project["optional-dependencies"][extra]]
    found += [text for group in groups for text in PROJECT["dependency-groups"][group]]
    return [Requirement(text) for text in found if isinstance(text, str)]


def test_make_install_takes_exact_versions_that_the_bounds_allow():
    versions = constraints("constraints.txt")
    assert not [name for name in versions if name.startswith(("nvidia-", "cuda-", "triton"))]
    groups = ["core", "test", "lint", "docs"]
    for requirement in requirements(["ibm", "kokkos", "data"], groups):
        if requirement.name != "triton":
            version = versions[canonicalize_name(requirement.name)]
            assert version in requirement.specifier, requirement


def test_make_test_lowest_takes_each_lower_bound():
    versions = constraints("constraints-lowest.txt")
    for requirement in requirements(["ibm", "qiskit-plugin", "kokkos", "data"], ["core"]):
        (bound,) = [s for s in requirement.specifier if s.operator == ">="]
        lowest = versions[canonicalize_name(requirement.name)]
        assert lowest == Version(bound.version), f"{requirement}: run `make lock`"


def test_the_links_of_the_readme_work_on_pypi_too():
    here = PROJECT["project"]["urls"]["Repository"]
    raw = here.replace("github.com", "raw.githubusercontent.com")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20
    for link in links:
        assert re.match(r"https?://", link), f"{link}: {here}/blob/main/{link}"
        for base in (f"{here}/blob/main/", f"{raw}/main/"):
            if link.startswith(base):
                assert (ROOT / link.removeprefix(base).split("#")[0]).is_file(), link


def test_all_public_names_have_docstrings():
    import qrnn

    for name in qrnn.__all__:
        assert getattr(qrnn, name).__doc__, name


def test_the_project_names_no_folder_of_this_machine():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    home = os.path.expanduser("~")
    for name in filter(None, tracked):
        content = (ROOT / name).read_bytes()
        assert home.encode() + b"/" not in content, name
