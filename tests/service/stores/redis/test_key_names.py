from __future__ import annotations

import pytest
from redis.crc import key_slot

from service.errors import SettingInvalid
from service.stores.redis.key_names import KeyNames, checked_prefix


@pytest.mark.parametrize("user_id", ["ann", "}", "a}b", "{", "}{", "{}", "é", "%7D"])
def test_all_keys_of_a_user_are_on_one_node_of_a_cluster(user_id: str) -> None:
    keys = KeyNames()
    assert len({key_slot(key) for key in keys.of_user(user_id)}) == 1
    assert key_slot(keys.record(user_id)) != key_slot(keys.record(user_id + "x"))


@pytest.mark.parametrize("prefix", ["", "a b", "a{b}", "shop*", "shop/1", "é", 65 * "a", "a\n"])
@pytest.mark.parametrize("check", [checked_prefix, KeyNames])
def test_a_prefix_that_would_break_a_key_is_refused(check: type[KeyNames], prefix: str) -> None:
    with pytest.raises(SettingInvalid, match=r"redis_prefix .KSHOT_REDIS_PREFIX.: .*expected 1 to 64 letters"):
        check(prefix)


def test_keys_are_named_as_in_existing_stores() -> None:
    assert KeyNames().of_user("ann") == (b"kshot:{ann}:user", b"kshot:{ann}:older", b"kshot:{ann}:served")
    assert KeyNames("staging:shop-1").of_user("a}b") == (
        *(b"staging:shop-1:{a%7Db}:user", b"staging:shop-1:{a%7Db}:older", b"staging:shop-1:{a%7Db}:served"),
    )
    assert (KeyNames("a").catalogue, KeyNames("a").rates) == ("a:catalogue", "a:rate")
