import pytest

from nas.core import errors

EVERY = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.NasError)]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_is_the_inputs_fault_and_has_an_exit_code(kind):
    assert kind.exit_code == (3 if kind is errors.InfeasibleBudgetError else 2)


def test_a_table_for_another_target_is_a_device_error():
    assert issubclass(errors.TargetMismatchError, errors.DeviceError)
