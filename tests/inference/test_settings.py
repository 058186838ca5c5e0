"""Settings: read, changed in part, pushed to every replica."""

from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hasp.inference.v1.settings_service_pb2 import GetSettingsRequest, UpdateSettingsRequest

from services.chassis.access import Principal
from tests.inference.conftest import Failure, House, Refused, Replica, Simulator
from tests.postgres import DatabaseFactory

DEFAULTS = {
    "phi_mode": "redact",
    "phi_restore": True,
    "storage_mode": "full",
    "image_policy": "refuse",
    "default_system": None,
    "retention_days": 2555,
}


async def get(house: House, principal: Principal) -> dict[str, Any]:
    answer = await house.settings.GetSettings(GetSettingsRequest(), metadata=house.metadata(principal), timeout=5)
    return json_format.MessageToDict(
        answer.data, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def put(house: House, principal: Principal, patch: dict[str, Any], **headers: str) -> dict[str, Any]:
    body = Struct()
    body.update(patch)
    try:
        answer = await house.settings.UpdateSettings(
            UpdateSettingsRequest(settings=body), metadata=house.metadata(principal, **headers), timeout=5
        )
    except grpc.aio.AioRpcError as error:
        raise Refused(Failure.of(error)) from None
    return json_format.MessageToDict(
        answer.data, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def test_settings_have_defaults_and_change_in_part(house: House, alice: Principal, mallory: Principal) -> None:
    assert await get(house, alice) == DEFAULTS
    after = await put(house, alice, {"phi_mode": "block", "retention_days": 30, "default_system": "Mind John Smith."})
    assert after == DEFAULTS | {"phi_mode": "block", "retention_days": 30, "default_system": "Mind John Smith."}
    assert await get(house, alice) == after
    assert await get(house, mallory) == DEFAULTS
    assert await put(house, alice, {"default_system": None}) == after | {"default_system": None}
    rows = await house.rows("SELECT t::text FROM settings AS t")
    assert "John" not in str(rows)


async def test_a_change_is_audited_and_no_change_is_not(house: House, alice: Principal) -> None:
    await put(house, alice, {})
    await put(house, alice, {"phi_mode": "redact"})
    await put(house, alice, {"phi_mode": "block", "default_system": "Mind John Smith."})
    await house.eventually(lambda: house.agreements.actions() == ["settings.updated"])
    (event,) = house.agreements.events.values()
    assert json_format.MessageToDict(event.metadata) == {"fields": ["phi_mode", "default_system"], "phi_mode": "block"}


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        ({"phi_mode": "off"}, "phi_mode"),
        ({"phi_mode": None}, "phi_mode"),
        ({"phi_restore": "yes"}, "phi_restore"),
        ({"storage_mode": "some"}, "storage_mode"),
        ({"image_policy": 1}, "image_policy"),
        ({"default_system": 5}, "default_system"),
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": 1.5}, "retention_days"),
        ({"retention_days": True}, "retention_days"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_what_is_wrong_or_unknown_is_422_and_named(
    house: House, alice: Principal, patch: dict[str, Any], param: str
) -> None:
    with pytest.raises(Refused) as caught:
        await put(house, alice, patch)
    failure = caught.value.failure
    assert (failure.reason, failure.http_status, failure.param) == ("VALIDATION_FAILED", 422, param)


async def test_the_same_key_changes_once(house: House, alice: Principal) -> None:
    first = await put(house, alice, {"retention_days": 10}, idempotency_key="k1")
    await put(house, alice, {"retention_days": 20})
    assert await put(house, alice, {"retention_days": 10}, idempotency_key="k1") == first
    assert (await get(house, alice))["retention_days"] == 20


async def test_a_change_counts_on_every_replica_once_it_has_returned(
    database_factory: DatabaseFactory, tls_dir: Path, tmp_path: Path, simulator: Simulator, alice: Principal
) -> None:
    url = database_factory("inference").app_url
    async with Replica(url, tls_dir, tmp_path, simulator) as one, Replica(url, tls_dir, tmp_path, simulator) as other:
        assert (await other.inference.settings.of(alice.org_id)).phi_mode == "redact"
        for mode in ("block", "redact", "block"):
            await put(one, alice, {"phi_mode": mode})
            assert (await other.inference.settings.of(alice.org_id)).phi_mode == mode
