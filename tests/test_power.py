"""Watts are measured or absent."""

from dataclasses import replace

import pytest

import hardware_profiles
from nas import power
from nas.core.device import DeviceProfile, TargetProfile
from nas.core.errors import DeviceError
from tests.tiny import TARGET

INT8 = replace(TARGET, precision="int8")
FP32 = TargetProfile(TARGET, "estimated", "beads", {}, None, None)
PROFILE = DeviceProfile("abacus", "An abacus", ("fp32",), 13, (), (FP32,), "", "", "abacus.toml")
METERED = replace(PROFILE, name="meter", targets=(replace(FP32, power_w=5.0),))


def test_it_holds_for_the_target_that_was_measured_and_no_other():
    assert power.of(METERED, TARGET) == power.require(METERED, TARGET) == 5.0
    assert power.of(PROFILE, TARGET) is None
    assert power.of(METERED, INT8) is None, "int8 draws something else"


def test_where_it_is_missing_it_says_who_has_it_and_how_to_measure(monkeypatch):
    monkeypatch.setattr(hardware_profiles, "load_all", lambda: iter([PROFILE]))
    with pytest.raises(
        DeviceError, match=r"no power was measured for abacus beads 1 fp32.* none yet.* nas\.measure --device abacus.* --target ssh:"
    ):
        power.require(PROFILE, TARGET)
    monkeypatch.setattr(hardware_profiles, "load_all", lambda: iter([PROFILE, METERED]))
    with pytest.raises(DeviceError, match=r"devices with measured power: meter\)"):
        power.require(PROFILE, TARGET)
