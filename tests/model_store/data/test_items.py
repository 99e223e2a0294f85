from model_store.data.sources import load


def test_row_order_of_the_items_file_changes_nothing(write_source):
    interactions = {"user_id": ["u", "v"], "item_id": ["1", "2"], "value": [1.0, 1.0]}
    described = {"item_id": ["1", "2", "3"], "genre": ["a|b", "b", "a"], "image": [[0.1, 0.2], [0.3, 0.4], None]}
    first = load(write_source(interactions, described)).dataset
    second = load(write_source(interactions, {name: cells[::-1] for name, cells in described.items()})).dataset
    assert first.features.names == second.features.names
    assert first.features.indices.tolist() == second.features.indices.tolist()
    assert first.features.weights.tolist() == second.features.weights.tolist()
