"""The house rules that no other tool checks."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from setuptools import find_namespace_packages

import nas

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("nas", "search_spaces", "latency_models", "hardware_profiles")
COMMANDS = ("nas.search", "nas.train", "nas.measure", "nas.devices")
HEAVY = ("torch", "optuna", "ray", "onnx", "onnxruntime", "pandas", "plotly", "fvcore", "datasets", "scipy")


def tracked(*patterns):
    """Files of the project, without what is built or ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [ROOT / name for name in sorted(listed) if (ROOT / name).is_file()]


def test_bare_make_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split())
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets == phony == set(re.findall(r"^  make ([a-z-]+)\s+\S", shown, re.MULTILINE))
    assert {"setup", "demo", "test", "test-all", "check"} <= targets


def test_no_module_is_longer_than_400_lines():
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in tracked("*.py")}
    assert len(lengths) > 30
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_the_version_is_said_once():
    assert PROJECT["project"]["version"] == nas.__version__


def test_every_file_that_the_code_reads_is_shipped():
    packages = find_namespace_packages(str(ROOT), include=PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
    patterns = [*PROJECT["tool"]["setuptools"]["package-data"]["*"], "*.py"]
    files = [file for package in PACKAGES for file in tracked(package)]
    unshipped = [
        file
        for file in files
        if ".".join(file.parent.relative_to(ROOT).parts) not in packages or not any(file.match(pattern) for pattern in patterns)
    ]
    assert files and [str(file.relative_to(ROOT)) for file in unshipped if file.suffix != ".md"] == []
    assert {ROOT / "nas/embedded/fashion_mnist_5000.npz", ROOT / "nas/embedded/NOTICE"} <= set(files)


def test_the_notice_of_the_embedded_images_is_shipped():
    notice = (ROOT / "nas" / "embedded" / "NOTICE").read_text()
    for part in (
        "MIT License",
        "Copyright (c) 2017 Zalando SE",
        "github.com/zalandoresearch/fashion-mnist",
        "WITHOUT WARRANTY OF ANY KIND",
    ):
        assert part in notice
    assert "nas/embedded/NOTICE" in PROJECT["project"]["license-files"]


def test_the_lock_has_every_dependency_at_one_version_and_no_index():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line) for line in lines)
    locked = {normal(line.partition("==")[0]) for line in lines}
    wanted = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]
    assert {normal(re.split(r"[\[><=]", name)[0]) for name in wanted} <= locked


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_python_version_is_the_same_everywhere():
    version = (ROOT / ".python-version").read_text().strip()
    assert PROJECT["project"]["requires-python"] == f">={version}"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + version.replace(".", "")
    assert PROJECT["tool"]["mypy"]["python_version"] == version
    assert f"PYTHON ?= python{version}" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_imported_without_anything_heavy(command):
    code = f"import sys, {command}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_the_core_needs_nothing_but_numpy():
    modules = [f"nas.core.{file.stem}" for file in (ROOT / "nas" / "core").glob("*.py") if file.stem != "__init__"]
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}} - set(sys.stdlib_module_names))"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}; {code}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {name for name in loaded.stdout.split() if not name.startswith("_")} == {"nas", "numpy"}


def test_files_that_people_keep_never_leave_a_pickle_or_a_shell_open():
    for file in tracked("nas/*.py", "search_spaces/*.py", "latency_models/*.py", "experiments/*.py"):
        text = file.read_text()
        assert not re.search(r"^\s*(import|from) pickle\b|shell=True|allow_pickle=True|weights_only=False", text, re.MULTILINE), file


def test_whatever_is_imported_is_declared():
    ours = {*PACKAGES, "tests"}
    imported = set()
    for file in tracked(*PACKAGES):
        if file.suffix == ".py":
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    imported |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    imported.add(node.module.partition(".")[0])
    distributions = packages_distributions()
    found = {normal(distributions[name][0]) for name in imported - ours - set(sys.stdlib_module_names) if name in distributions}
    declared = {normal(re.split(r"[\[><=]", name)[0]) for name in PROJECT["project"]["dependencies"]}
    assert found <= declared


def test_every_module_has_its_layer():
    layers = " ".join(PROJECT["tool"]["importlinter"]["contracts"][0]["layers"])
    listed = set(re.findall(r"[a-z_.]+", layers))
    modules = {f"nas.{path.stem}" for path in (ROOT / "nas").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert modules - {"nas.__init__"} <= listed
