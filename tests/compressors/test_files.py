"""INT8 and fp16 files: smaller, as accurate, whole, and chosen by what was measured."""

import errno
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import nas.files
from nas import compressors, runtimes
from nas.compressors import Compressed, CompressionError, FileCompressor, NetworkCompressor, Variant
from nas.compressors.int8_static import FORMS, choose
from nas.core.errors import ExportError, UnknownNameError

INT8 = compressors.load("int8_static")
FP16 = compressors.load("fp16")
RUNTIME = runtimes.load("onnxruntime")


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def int8(trained, tmp_path_factory) -> tuple[Path, Path, Compressed]:
    """(fp32 file, int8 file, what was done), in folders of their own."""
    folder = tmp_path_factory.mktemp("int8")
    RUNTIME.export(trained.network, folder / "fp32.onnx", 17)
    return folder / "fp32.onnx", folder / "int8.onnx", INT8.compress(folder / "fp32.onnx", folder / "int8.onnx", trained.evidence)


def test_int8_is_smaller_and_as_accurate(int8, trained) -> None:
    source, target, done = int8
    assert runtimes.size_mb(target) < runtimes.size_mb(source)
    measured = RUNTIME.accuracy(target, trained.evidence.images, trained.evidence.labels)
    assert measured == done.chose.accuracy
    assert done.fp32_accuracy == RUNTIME.accuracy(source, trained.evidence.images, trained.evidence.labels) > 0.7
    assert measured >= done.fp32_accuracy - 0.01
    assert RUNTIME.compare(target, trained.network, trained.evidence.images).agreement > 0.95


def test_int8_records_every_form_it_timed_and_takes_the_fastest_good_one(int8) -> None:
    done = int8[2]
    assert [variant.name for variant in done.tried] == list(FORMS)
    good = [variant for variant in done.tried if variant.accuracy >= done.fp32_accuracy - 0.01]
    assert done.chose.latency_ms == min(variant.latency_ms for variant in good)


def test_int8_leaves_no_other_file_and_keeps_the_interface(int8) -> None:
    source, target, _ = int8
    assert sorted(file.name for file in source.parent.iterdir()) == ["fp32.onnx", "int8.onnx"]
    graph = onnx.load(target).graph
    assert ([value.name for value in graph.input], [value.name for value in graph.output]) == (["images"], ["logits"])
    assert graph.input[0].type.tensor_type.elem_type == graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert "QuantizeLinear" in {node.op_type for node in graph.node}


def test_int8_weights_are_per_channel(int8) -> None:
    graph = onnx.load(int8[1]).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    scales = {
        node.input[0]: tensors[node.input[1]] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in tensors
    }
    weights = [(tensors[name], scale) for name, scale in scales.items() if len(tensors[name].dims) == 4]
    assert len(weights) > 5
    assert all(list(scale.dims) == [tensor.dims[0]] for tensor, scale in weights)


def test_int8_is_quiet_and_leaves_the_working_folder_and_the_temporary_one_empty(
    fp32, trained, tmp_path, monkeypatch, caplog, capfd
) -> None:
    temporary, here = tmp_path / "temporary", tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr("nas.compressors.int8_static.FORMS", dict(list(FORMS.items())[:1]))
    with caplog.at_level(logging.INFO, logger="root"):
        INT8.compress(fp32, tmp_path / "int8.onnx", trained.evidence)
    assert not list(temporary.iterdir())
    assert not list(here.iterdir())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert capfd.readouterr() == ("", "")


def test_int8_asks_the_caller_for_times(fp32, trained, tmp_path) -> None:
    asked: list[str] = []

    def time_ms(path: Path) -> float:
        asked.append(path.stem)
        return 1.0 if path.stem == "s8s8" else 2.0

    done = INT8.compress(fp32, tmp_path / "int8.onnx", replace(trained.evidence, time_ms=time_ms))
    assert set(asked) == set(FORMS)
    assert done.chose.name == "s8s8"
    assert runtimes.size_mb(tmp_path / "int8.onnx") < 0.45 * runtimes.size_mb(fp32), "all weights are int8 in this form"
    zero_points = {tensor.data_type for tensor in onnx.load(tmp_path / "int8.onnx").graph.initializer if tensor.name.endswith("zero_point")}
    assert TensorProto.UINT8 not in zero_points


def test_the_fastest_good_form_wins_and_the_most_accurate_where_none_is_good() -> None:
    fast_bad, fast, slow = Variant("a", 0.80, 1.0), Variant("b", 0.89, 2.0), Variant("c", 0.92, 3.0)
    assert choose([fast_bad, fast, slow], 0.90) == fast
    assert choose([fast_bad, fast, slow], 0.915) == slow
    assert choose([fast_bad, fast, slow], 0.99) == slow


def test_too_much_lost_accuracy_is_refused_and_the_old_file_stays(fp32, trained, tmp_path) -> None:
    def spoil(source: Path, folder: Path, evidence: object) -> tuple[Path, Compressed]:
        variant = Variant("spoilt", 0.5, 1.0)
        return Path(shutil.copy(source, folder)), Compressed(variant, (variant,), 0.9)

    (tmp_path / "out.onnx").write_bytes(b"old")
    with pytest.raises(CompressionError, match=r"int8 of fp32\.onnx loses 40\.0% of validation accuracy .*ship the fp32 file"):
        replace(INT8, apply=spoil).compress(fp32, tmp_path / "out.onnx", trained.evidence)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("out.onnx", b"old")]


def test_int8_needs_opset_13_and_an_unquantized_file(int8, trained, tmp_path) -> None:
    RUNTIME.export(trained.network, tmp_path / "old.onnx", 11)
    with pytest.raises(CompressionError, match=r"old\.onnx cannot be made int8: .*opset 13 or newer, it has 11"):
        INT8.compress(tmp_path / "old.onnx", tmp_path / "int8.onnx", trained.evidence)
    with pytest.raises(CompressionError, match="quantized already"):
        INT8.compress(int8[1], tmp_path / "int8.onnx", trained.evidence)


@pytest.mark.parametrize("compressor", [INT8, FP16], ids=["int8", "fp16"])
def test_full_disk_leaves_the_old_file(compressor, fp32, trained, tmp_path, monkeypatch) -> None:
    target = tmp_path / "small.onnx"
    target.write_bytes(b"old")
    monkeypatch.setattr(nas.files.os, "replace", full_disk)
    monkeypatch.setattr("nas.compressors.int8_static.FORMS", dict(list(FORMS.items())[:1]))
    with pytest.raises(ExportError, match=r"small\.onnx could not be written: No space left on device"):
        compressor.compress(fp32, target, trained.evidence)
    assert target.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["small.onnx"]


def test_full_temporary_folder_is_the_same_error(fp32, trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("nas.compressors.int8_static._quantize", full_disk)
    with pytest.raises(ExportError, match=r"int8\.onnx could not be written: No space left on device"):
        INT8.compress(fp32, tmp_path / "int8.onnx", trained.evidence)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [13, 17])
def test_fp16_halves_the_file_and_keeps_float32_outside(trained, tmp_path, opset) -> None:
    source, target = tmp_path / "fp32.onnx", tmp_path / "fp16.onnx"
    RUNTIME.export(trained.network, source, opset)
    done = FP16.compress(source, target, trained.evidence)
    assert 0.48 < runtimes.size_mb(target) / runtimes.size_mb(source) < 0.55
    model = onnx.load(target)
    assert model.graph.input[0].type.tensor_type.elem_type == model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert TensorProto.FLOAT not in {tensor.data_type for tensor in model.graph.initializer}
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]
    logits = RUNTIME.logits(target, trained.evidence.images)
    assert logits.dtype == np.float32
    found = RUNTIME.compare(target, trained.network, trained.evidence.images)
    assert 0 < found.max_difference < 0.05 * found.largest_logit
    assert found.agreement > 0.99
    assert abs(done.chose.accuracy - done.fp32_accuracy) <= 0.01


def test_compressed_files_run_in_a_fresh_process_that_has_no_torch(int8, fp32, trained, tmp_path) -> None:
    FP16.compress(fp32, tmp_path / "fp16.onnx", trained.evidence)
    shutil.copy(int8[1], tmp_path / "int8.onnx")
    code = (
        "import sys, numpy, onnxruntime\n"
        "for name in ('fp16.onnx', 'int8.onnx'):\n"
        "    session = onnxruntime.InferenceSession(name, providers=['CPUExecutionProvider'])\n"
        "    assert session.run(['logits'], {'images': numpy.zeros((2, 1, 12, 12), numpy.float32)})[0].shape == (2, 4)\n"
        "assert 'torch' not in sys.modules and 'nas' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_fp16_refuses_weights_beyond_its_range_and_files_without_any(fp32, trained, tmp_path) -> None:
    model = onnx.load(fp32)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    weights = numpy_helper.to_array(tensor).copy()
    weights.flat[0] = 1e6
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(CompressionError, match=r"holds 1e\+06, float16 ends at 65504"):
        FP16.compress(tmp_path / "large.onnx", tmp_path / "fp16.onnx", trained.evidence)
    FP16.compress(fp32, tmp_path / "half.onnx", trained.evidence)
    with pytest.raises(CompressionError, match="no float32 weights"):
        FP16.compress(tmp_path / "half.onnx", tmp_path / "fp16.onnx", trained.evidence)
    assert not (tmp_path / "fp16.onnx").exists()


def test_every_file_in_the_folder_is_a_compressor_of_one_of_the_two_forms() -> None:
    assert set(compressors.names()) >= {"fp16", "hidden_channels", "int8_static"}
    assert all(isinstance(compressors.load(name), NetworkCompressor | FileCompressor) for name in compressors.names())
    assert [compressors.load(name).step for name in ("hidden_channels", "int8_static", "fp16")] == ["pruned", "int8", "fp16"]


def test_unknown_compressor_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'int8_static'"):
        compressors.load("int8-static")


def test_evidence_that_does_not_fit_together_is_refused() -> None:
    images = np.zeros((4, 1, 8, 8), np.float32)
    with pytest.raises(CompressionError, match=r"got \(0, 1, 8, 8\) and \(4, 1, 8, 8\) with 4 labels"):
        compressors.Evidence(images[:0], images, np.zeros(4))
    with pytest.raises(CompressionError, match="with 3 labels"):
        compressors.Evidence(images, images, np.zeros(3))
    with pytest.raises(CompressionError, match="images of one shape"):
        compressors.Evidence(images[:, :, :4], images, np.zeros(4))
