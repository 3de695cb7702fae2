"""Whole networks from a CSV, and the published networks that they may be."""

import pytest

from latency_models.importers import networks_csv, public_networks
from nas.core.errors import DataError, UnknownNameError
from nas.core.operators import KINDS


def read(folder, text, **options):
    (folder / "phone.csv").write_text(text)
    return networks_csv.read(folder / "phone.csv", "mobilenet_v2-{width}@{px}", "ms", public_networks.operators, **options)


def test_names_are_made_of_columns(tmp_path):
    big, small = read(tmp_path, "width,px,ms\n1.4,224,138\n0.35,96,4.5\n")
    assert (big.name, big.latency_ms) == ("mobilenet_v2-1.4@224", 138.0)
    assert big.operators == public_networks.operators("mobilenet_v2-1.4") and small.operators[0].in_height == 96


def test_a_mark_before_the_first_column_is_no_part_of_its_name(tmp_path):
    (tmp_path / "phone.csv").write_text("width,px,ms\n1.4,224,138\n", encoding="utf-8-sig")
    (one,) = networks_csv.read(tmp_path / "phone.csv", "mobilenet_v2-{width}@{px}", "ms", public_networks.operators)
    assert one.latency_ms == 138.0


def test_rows_without_a_name_are_passed_over(tmp_path):
    text = "width,px,ms\n1.4,224,138\n0.35,96,4.5\n"
    (only,) = read(tmp_path, text, rename=lambda name: "mobilenet_v1" if name.endswith("96") else "")
    assert only.name == "mobilenet_v1"
    with pytest.raises(DataError, match="has no networks"):
        read(tmp_path, text, rename=lambda name: "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("width,ms\n1,2\n", r"line 2: there is no column 'px' \(there is: width, ms\)"),
        ("width,px,ms\n1,224,fast\n", "line 2: mobilenet_v2-1@224 took 'fast', not a number of milliseconds"),
        ("width,px,ms\n1,224\n", "line 2: the row has more or fewer cells than the columns named at the top: width, px, ms"),
        ("width,px,ms\n1,224,2,9\n", "line 2: the row has more or fewer cells"),
        ("width,px,ms\n1,224,nan\n", "line 2: mobilenet_v2-1@224 took nan ms"),
        ("width,px,ms\n1,224,2\n0.5,224,1\n1,224,2\n", r"line 4: mobilenet_v2-1@224 is there already \(.*line 2\)"),
        ("width,px,ms\n1,224,2\n1,224,0\n", "line 3: mobilenet_v2-1@224 took 0 ms"),
        ("width,px,ms\nwide,224,2\n", "line 2: no published network is named 'mobilenet_v2-wide@224'"),
    ],
)
def test_damage_is_named(tmp_path, text, complaint):
    with pytest.raises(DataError, match=complaint):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        networks_csv.read(tmp_path / "none.csv", "{a}", "b", public_networks.operators)


@pytest.mark.parametrize(
    ("name", "mmacs", "mweights"),
    [
        ("mobilenet_v1", 569, 4.2),
        ("mobilenet_v2", 301, 3.5),
        ("mobilenet_v2-1.4", 582, 6.1),
        ("mobilenet_v3_large", 217, 5.5),
        ("mobilenet_v3_large-0.75", 155, 4.0),
        ("mobilenet_v3_small", 57, 2.5),
        ("mnasnet_a1", 312, 3.9),
        ("mnasnet_b1", 315, 4.4),
        ("shufflenet_v2", 145, 2.3),
        ("shufflenet_v2-0.5", 40.5, 1.36),
        ("ghostnet", 141, 5.2),
        ("efficientnet_b0", 387, 5.3),
        ("efficientnet_lite0", 385, 4.6),
    ],
)
def test_macs_and_weights_are_the_published_ones(name, mmacs, mweights):
    operators = public_networks.operators(name)
    assert sum(operator.macs for operator in operators) / 1e6 == pytest.approx(mmacs, rel=0.01)
    assert sum(operator.weights for operator in operators) / 1e6 == pytest.approx(mweights, rel=0.02)


@pytest.mark.parametrize("flavour", ["tf", "paddle"])
@pytest.mark.parametrize("family", public_networks.FAMILIES)
def test_shapes_follow_each_other(family, flavour):
    operators = public_networks.operators(family, flavour)
    assert {operator.kind for operator in operators} <= set(KINDS)
    assert (operators[0].in_channels, operators[0].in_height) == (3, 224)
    assert (operators[-1].kind, operators[-1].out_channels) == ("linear", 1000)
    features = [operator for operator in operators if operator.out_height > 1]
    assert features[-1].out_height == 7 and all(a.out_height >= b.out_height for a, b in zip(features[-8:], features[-7:], strict=False))
    half = public_networks.operators(f"{family}@112", flavour)
    assert len(half) == len(operators) and half[0].out_height == operators[0].out_height // 2


@pytest.mark.parametrize("name", ["resnet", "mobilenet_v2-", "mobilenet_v2@", "MobileNetV2", "shufflenet_v2-0.7"])
def test_unknown_names_are_refused(name):
    with pytest.raises(UnknownNameError, match="is named"):
        public_networks.operators(name)
