"""Tiers at another price than the model's: each a resource of its own."""

from __future__ import annotations

import pytest

from gateway.call import Refusal
from gateway.model_request import tiers


@pytest.mark.requirement("LINK-04")
@pytest.mark.parametrize(
    ("request_", "resources"),
    [
        ({}, ()), ({"service_tier": None}, ()), ({"service_tier": "auto", "speed": "standard"}, ()),
        ({"service_tier": "default"}, ()), ({"service_tier": "flex"}, ()), ({"service_tier": "standard_only"}, ()),
        ({"service_tier": "priority"}, ("model/m/tier/priority",)),
        ({"service_tier": "fast", "speed": "fast"}, ("model/m/tier/fast",)),
        # whatever is not known to be usual may be dear
        ({"service_tier": "Priority"}, ("model/m/tier/Priority",)),
        ({"speed": "ludicrous"}, ("model/m/tier/ludicrous",)),
        ({"service_tier": True}, ("model/m/tier/True",)),
    ],
)  # fmt: skip
def test_a_tier_that_may_cost_more_than_the_price_is_a_resource(
    request_: dict[str, object], resources: tuple[str, ...]
) -> None:
    assert tiers("m", request_) == resources


@pytest.mark.requirement("LINK-04")
def test_a_tier_without_a_usable_name_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        tiers("m", {"service_tier": ""})
    assert caught.value.status == 400
