"""What a run finds out before it does anything."""

import sys

import pytest

from nas import data_sources, pipeline
from nas.core.errors import ExportError
from nas.settings import RunSettings


def test_a_device_that_reads_tflite_needs_litert_before_an_image_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setattr(data_sources, "read", lambda *_: pytest.fail("images were read"))
    with pytest.raises(ExportError, match=r"needs the package ai-edge-litert .*pip install ai-edge-litert"):
        pipeline.search(RunSettings(device="pixel-1", budget_ms=50), pipeline.Execution(), tmp_path / "run", display=None)
    assert not (tmp_path / "run").exists()
