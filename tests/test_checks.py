import pytest

from pyg_relational._checks import (
    check_bool,
    check_fraction,
    check_int,
    check_name,
    check_positive,
)


def test_known_name_is_returned():
    assert check_name("colour", "red", ("red", "green")) == "red"


@pytest.mark.parametrize("value", ["gren", "Green"])
def test_unknown_name_lists_the_nearest(value):
    with pytest.raises(ValueError, match="did you mean 'green'") as info:
        check_name("colour", value, ("red", "green"))
    assert f"(got {value!r})" in str(info.value)
    assert "'colour' must be one of 'red', 'green'" in str(info.value)


@pytest.mark.parametrize("value", ["zzz", 3, None, ["zzz"]])
def test_without_a_near_name_there_is_no_guess(value):
    with pytest.raises(
        ValueError, match="'colour' must be one of 'red', 'green'"
    ) as info:
        check_name("colour", value, ("red", "green"))
    assert "did you mean" not in str(info.value)


@pytest.mark.parametrize("value", [True, 2.0, "2", None])
def test_wrong_type_of_a_number(value):
    with pytest.raises(TypeError, match="`size` to be an integer"):
        check_int("size", value, 0)


def test_limits_are_included():
    assert check_int("size", 2, 2, 4) == 2
    assert check_int("size", 4, 2, 4) == 4
    with pytest.raises(ValueError, match="`size` to be from 2 to 4, got 5"):
        check_int("size", 5, 2, 4)
    with pytest.raises(ValueError, match="`size` to be at least 2, got 1"):
        check_int("size", 1, 2)


def test_numbers_within_limits_are_returned():
    assert check_bool("flag", True) is True
    assert check_fraction("share", 0.5) == 0.5
    assert check_fraction("share", 0, zero=True) == 0
    assert check_positive("time", 3) == 3


@pytest.mark.parametrize("value", [0, 1, -0.1, float("nan"), float("inf")])
def test_no_fraction(value):
    with pytest.raises(ValueError, match="`share` to be above 0 and below 1"):
        check_fraction("share", value)
    if value:
        with pytest.raises(ValueError, match="`share` to be at least 0 and below 1"):
            check_fraction("share", value, zero=True)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_not_positive(value):
    with pytest.raises(ValueError, match="`time` to be positive"):
        check_positive("time", value)


@pytest.mark.parametrize("check", [check_fraction, check_positive])
@pytest.mark.parametrize("value", [True, "1", None])
def test_no_number(check, value):
    with pytest.raises(TypeError, match="`size` to be a number"):
        check("size", value)


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_no_bool(value):
    with pytest.raises(TypeError, match="`flag` to be a bool"):
        check_bool("flag", value)
