"""The file name is the plug-in's name."""

import subprocess
import sys
from pathlib import Path

import pytest

from nas.core import plugins
from nas.core.errors import UnknownNameError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of its own for each test, with four files of which three are plug-ins."""
    name = f"plugged_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "apple.py").write_text("PLUGIN = 'an apple'\n")
    (folder / "apple_pie.py").write_text("PLUGIN: str = 'a pie'\n")
    (folder / "broken.py").write_text("import there_is_no_such_module\nPLUGIN = 1\n")
    (folder / "helper.py").write_text("VALUE = 'PLUGIN = '\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


def test_names_are_the_files_that_define_a_plugin_and_import_none(package):
    assert plugins.names(package) == ("apple", "apple_pie", "broken")
    assert f"{package}.apple" not in sys.modules


def test_a_plugin_is_found_by_its_name_or_a_unique_beginning(package):
    assert plugins.load(package, "apple", "fruit") == "an apple"  # although apple_pie begins so, too
    assert plugins.load(package, "apple_p", "fruit") == "a pie"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("aple", "no fruit is named 'aple'; did you mean 'apple'? (there is: apple, apple_pie, broken)."),
        ("app", "no fruit is named 'app'; did you mean 'apple'? (there is: apple, apple_pie, broken)."),
        ("", "no fruit is named '' (there is: apple, apple_pie, broken)."),
        ("helper", "no fruit is named 'helper' (there is: apple, apple_pie, broken)."),
        ("../apple", "no fruit is named '../apple'; did you mean 'apple'? (there is: apple, apple_pie, broken)."),
        ("zzz", "no fruit is named 'zzz' (there is: apple, apple_pie, broken)."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(package, asked, message):
    with pytest.raises(UnknownNameError) as caught:
        plugins.load(package, asked, "fruit")
    assert str(caught.value) == message


def test_a_hint_follows_the_names():
    assert str(UnknownNameError("device", "x", [], "Look in docs.")) == "no device is named 'x' (there is: none). Look in docs."


def test_asking_for_the_names_of_spaces_loads_no_torch():
    code = "import sys, search_spaces; search_spaces.load('mobile_shuffle_32'); assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
