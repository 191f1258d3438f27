"""Checks of the sizes and seeds that datasets take."""


def check_int(argument: str, value: int, low: int, high: int | None = None) -> int:
    """Returns `value` if it is an integer within the limits, both included.

    Args:
        argument (str): Name of the argument, used in the message.
        value (int): The value that was given.
        low (int): The smallest allowed value.
        high (int, optional): The largest allowed value. (default: `None`)

    Raises:
        TypeError: `value` is not an integer.
        ValueError: `value` is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"Expected `{argument}` to be an integer, got {value!r}.")
    if value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"Expected `{argument}` to be {allowed}, got {value}.")
    return value
