"""The block table of HW-NAS-Bench's FBNet space."""

import pytest

from latency_models.importers import fbnet_blocks
from nas.core.errors import DataError
from tests import shared_data

HEADER = "device,h_in,c_in,c_out,stride,op,ms_relative_to_skip_in_same_slot,skip_kind\n"


def read(folder, rows, device="phone"):
    (folder / "blocks.csv").write_text(HEADER + rows)
    return fbnet_blocks.read(folder / "blocks.csv", device)


def test_plain_and_grouped_blocks(tmp_path):
    plain, grouped = read(
        tmp_path, "phone,16,32,64,2,k5_e6,0.9,conv1x1_skip\nphone,8,64,64,1,k3_e1_g2,0.3,identity\nphone,,,,,CONST,7.8,\n"
    )
    assert [operator.kind for operator in plain.operators] == ["pointwise", "depthwise", "pointwise"]
    assert plain.operators[1].in_channels == 192 and plain.operators[2].in_height == 8 and not plain.absolute
    assert [operator.kind for operator in grouped.operators] == ["grouped", "shuffle", "depthwise", "grouped", "add"]
    assert grouped.absolute and grouped.slot == "8px-64-64-s1" and grouped.operators[0].macs == 64 * 32 * 64


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("phone,16,32,64,2,k5_e6,0.9,guess\n", "line 2: not a row of FBNet blocks"),
        ("phone,16,32,64,2,conv,0.9,identity\n", "line 2: op 'conv' of 0.9 ms"),
        ("phone,16,32,64,2,k5_e6,0,identity\n", "line 2: op 'k5_e6' of 0.0 ms"),
        ("phone,16,32\n", "line 2: not a row of FBNet blocks"),
        ("tablet,16,32,64,2,k5_e6,0.9,identity\n", "no blocks of 'phone', only of: tablet"),
    ],
)
def test_damage_is_named(tmp_path, row, complaint):
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, row)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        fbnet_blocks.read(tmp_path / "none.csv", "phone")


def test_every_published_block_is_read():
    for device in ("raspi4", "pixel3"):
        blocks = fbnet_blocks.read(shared_data.path("latency/raspi4_pixel3_fbnet_blocks.csv"), device)
        assert len(blocks) == 96 and sum(block.absolute for block in blocks) == 48 and len({block.slot for block in blocks}) == 12
