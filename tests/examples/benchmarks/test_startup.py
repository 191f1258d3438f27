import startup


def test_figures_are_seconds_of_fresh_interpreters() -> None:
    figures = startup.run(repeats=1)
    assert figures["hardware"]["processor"]
    # Importing torch takes far longer than that; asking for help does not import it.
    assert figures["torch_geometric"] > 0.1
    assert 0 < figures["help"] < figures["torch_geometric"] + figures["pyg_relational"]
