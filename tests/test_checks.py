import pytest

from pyg_relational._checks import check_name


def test_known_name_is_returned():
    assert check_name("colour", "red", ("red", "green")) == "red"


@pytest.mark.parametrize("value", ["gren", "Green"])
def test_unknown_name_lists_the_nearest(value):
    with pytest.raises(ValueError, match="did you mean 'green'") as info:
        check_name("colour", value, ("red", "green"))
    assert f"Unknown colour {value!r}" in str(info.value)
    assert "Expected one of: red, green." in str(info.value)


@pytest.mark.parametrize("value", ["zzz", 3, None, ["zzz"]])
def test_without_a_near_name_there_is_no_guess(value):
    with pytest.raises(ValueError, match="Expected one of: red, green") as info:
        check_name("colour", value, ("red", "green"))
    assert "did you mean" not in str(info.value)
