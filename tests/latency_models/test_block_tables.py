"""The published block tables of ProxylessNAS and Once-for-All, as YAML and as the CSV of their rows."""

import pytest

from latency_models.importers import block_tables
from nas.core.errors import DataError
from tests import shared_data

PROXYLESS = "expanded_conv-input:14x14x80-output:14x14x80-expand:3-kernel:5-stride:1-idskip:1"
ONCE_FOR_ALL = "expanded_conv-input:40x40x32-output:20x20x48-expand:128-kernel:3-stride:2-idskip:0-se:1-hs:1"


def written(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def kinds(block):
    return [operator.kind for operator in block.operators]


def test_a_proxyless_table(tmp_path):
    text = f"Conv-input:224x224x3-output:112x112x32: {{mean: 4.08, std: 0.5}}\n{PROXYLESS}:\n  count: 3\n  mean: 2.5\n"
    stem, block = block_tables.read(written(tmp_path, "mobile_trim.yaml", text))
    assert (stem.latency_ms, stem.operators[0].activation, stem.operators[0].out_height) == (4.08, "relu6", 112)
    assert kinds(block) == ["pointwise", "depthwise", "pointwise", "add"] and block.table == "mobile_trim.yaml"
    assert block.operators[1].in_channels == 240 and block.latency_ms == 2.5


def test_a_once_for_all_table(tmp_path):
    first, last = "Conv-input:160x160x3-output:80x80x24: {mean: 0.5}", "Logits-input:1x1x1536-output:1000: {mean: 0.6}"
    text = f"{first}\n{ONCE_FOR_ALL}: {{mean: 1.5}}\n{last}\n"
    stem, block, logits = block_tables.read(written(tmp_path, "160.yaml", text))
    assert stem.operators[0].activation == block.operators[1].activation == "hard_swish"
    assert kinds(block) == ["pointwise", "depthwise", "pool", "pointwise", "pointwise", "se_scale", "pointwise"]
    assert block.operators[3].out_channels == 32 and block.operators[1].in_channels == 128 and kinds(logits) == ["linear"]


def test_a_csv_says_the_same_as_the_yaml(tmp_path):
    rows = written(tmp_path, "t.csv", f"device,source_table,key,mean_ms\nphone,t.yaml,{ONCE_FOR_ALL},1.5\nother,t.yaml,{PROXYLESS},9\n")
    assert block_tables.read(rows, "phone") == block_tables.read(written(tmp_path, "t.yaml", f"{ONCE_FOR_ALL}: {{mean: 1.5}}"))
    assert len(block_tables.read(rows)) == 2


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("t.yaml", "a: [", "is not YAML"),
        ("t.yaml", "- a\n", "is not a table"),
        ("t.yaml", f"\n{PROXYLESS}: 3\n", "line 2: .* has no 'mean'"),
        ("t.yaml", f"{PROXYLESS}: {{mean: fast}}", "line 1: .* not a number"),
        ("t.yaml", f"{PROXYLESS}: {{mean: -1}}", "line 1: .* above zero"),
        ("t.yaml", "Pool-input:1x1x3-output:1x1x3: {mean: 1}", "line 1: 'Pool.*is not the name of a block"),
        ("t.yaml", PROXYLESS.replace("output:14x14", "output:7x7") + ": {mean: 1}", "says an output of 7x7, its layers give 14x14"),
        ("t.yaml", f"{PROXYLESS}: {{mean: .nan}}", "line 1: .* not a number"),
        ("t.yaml", f"{PROXYLESS}: {{mean: nan}}", "line 1: .* took nan ms"),
        ("t.yaml", f"{PROXYLESS}: {{mean: 1}}\n{PROXYLESS}: {{mean: 2}}", r"line 2: .* is there already \(.*line 1\)"),
        ("t.csv", "key,mean_ms,device\n" + 2 * f"{PROXYLESS},1,phone\n", r"line 3: .* is there already \(.*line 2\)"),
        ("t.csv", "key,mean\n" + PROXYLESS + ",1\n", "line 2: there is no mean_ms"),
        ("t.csv", "device,key,mean_ms\na,b,1\n", "has no blocks of 'phone'"),
    ],
)
def test_damage_is_named(tmp_path, name, text, complaint):
    with pytest.raises(DataError, match=complaint):
        block_tables.read(written(tmp_path, name, text), "phone" if name == "t.csv" else "")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.yaml cannot be read"):
        block_tables.read(tmp_path / "none.yaml")


def test_every_published_block_is_read():
    path = shared_data.path("latency/pixel1_note10_blocks.csv")
    found = {device: block_tables.read(path, device) for device in ("pixel1", "note10")}
    assert {device: len(blocks) for device, blocks in found.items()} == {"pixel1": 72, "note10": 480}
    assert len({block.table for block in found["note10"]}) == 5
