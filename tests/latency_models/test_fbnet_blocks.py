"""The block table of HW-NAS-Bench's FBNet space."""

import json
import pickle

import pytest

from latency_models.importers import fbnet_blocks
from nas.core.errors import DataError
from nas.core.operators import convolution
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
        ("phone,16,32,64,2,conv,0.9,identity\n", "line 2: op 'conv' on 32 to 64 channels is not an FBNet block"),
        ("phone,16,32,64,2,k5_e6,0,identity\n", "line 2: op 'k5_e6' took 0 ms; a latency is above zero"),
        ("phone,16,32,64,2,k5_e6,nan,identity\n", "line 2: op 'k5_e6' took nan ms"),
        ("phone,16,32,64,2,k5_e6,-1,identity\n", "line 2: op 'k5_e6' took -1 ms"),
        ("phone,16,32\n", "line 2: the row has more or fewer cells than the columns named at the top: device, h_in"),
        ("phone,16,32,64,2,k5_e6,1,identity,7\n", "line 2: the row has more or fewer cells"),
        (2 * "phone,16,32,64,2,k5_e6,1,identity\n", r"line 3: k5_e6 in 16px-32-64-s2 is there already \(.*line 2\)"),
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


LAYERS = {
    "ConvNorm_H32_W32_Cin3_Cout16_kernel3_stride1_group1": 1.5,
    "ConvBlock_H32_W32_Cin16_Cout16_exp1_kernel3_stride1_group2": 0.9,
    "ConvBlock_H32_W32_Cin16_Cout24_exp6_kernel5_stride2_group1": 2.5,
    "Skip_H32_W32_Cin16_Cout16_stride1": 0.0,
    "Skip_H32_W32_Cin16_Cout24_stride2": 0.4,
    "AvgP_H4_W4_Cin1504_Cout1504_kernel4_stride1": 0.1,
    "FC_Cin1504_Cout100": 0.2,
}
"""Names as HW-NAS-Bench's own API makes them; the times are made up."""


def in_json(folder, layers, wrap=lambda tables: tables, device="raspi4"):
    path = folder / "fbnet.json"
    path.write_text(json.dumps(wrap({"raspi4_latency": layers, "pixel3_latency": {}, "eyeriss_energy": {"x": -1}})))
    return fbnet_blocks.read(path, device)


def test_the_published_dictionary_is_read_as_json(tmp_path):
    blocks = in_json(tmp_path, LAYERS)
    assert [block.op for block in blocks] == ["conv3", "k3_e1_g2", "k5_e6", "conv1", "pool", "fc"], "nothing is executed to keep a shape"
    assert all(block.absolute for block in blocks) and [block.latency_ms for block in blocks] == [1.5, 0.9, 2.5, 0.4, 0.1, 0.2]
    assert blocks[0].operators == (convolution(3, 16, 3, 1, 32, 32, "relu"),)
    assert blocks[3].operators == (convolution(16, 24, 1, 2, 32, 32, "relu"),)
    assert blocks == in_json(tmp_path, LAYERS, lambda tables: {"fbnet": tables, "nasbench201": {}})
    (recovered,) = read(tmp_path, "phone,32,16,24,2,k5_e6,2.5,identity\n")
    assert recovered == blocks[2], "the two forms say the same"


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ({"FC_Cin8_Cout9": 0}, "raspi4: FC_Cin8_Cout9 took 0 ms; a latency is above zero"),
        ({"FC_Cin8_Cout9": float("nan")}, "FC_Cin8_Cout9 took nan ms"),
        ({"FC_Cin8_Cout9": None}, "FC_Cin8_Cout9 took None, not a number of milliseconds"),
        ({"Conv_Cin8_Cout9": 1}, "'Conv_Cin8_Cout9' is not the name of a layer of HW-NAS-Bench's FBNet space"),
        ({"ConvNorm_H32_W16_Cin3_Cout16_kernel3_stride1_group1": 1}, "is not the name of a layer"),
        ({"ConvBlock_H8_W8_Cin8_Cout9_exp1_stride1_group1": 1}, "does not say its kernel"),
        ({}, r"has no blocks of 'raspi4', only of: pixel3, raspi4"),
    ],
)
def test_damage_of_the_dictionary_is_named(tmp_path, layers, complaint):
    with pytest.raises(DataError, match=complaint):
        in_json(tmp_path, layers)


def test_a_layer_twice_and_another_file_are_named(tmp_path):
    path = tmp_path / "fbnet.json"
    path.write_text('{"raspi4_latency": {"FC_Cin8_Cout9": 1, "FC_Cin8_Cout9": 2}}')
    with pytest.raises(DataError, match="FC_Cin8_Cout9 is there already"):
        fbnet_blocks.read(path, "raspi4")
    path.write_text("[1]")
    with pytest.raises(DataError, match="has no blocks of 'raspi4', only of: nobody"):
        fbnet_blocks.read(path, "raspi4")
    path.write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        fbnet_blocks.read(path, "raspi4")


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was opened')",)


def test_a_pickle_is_never_opened(tmp_path):
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match=r"is a pickle, which can run anything and is not opened here; .*make the \.json of it"):
        fbnet_blocks.read(path, "raspi4")
