"""The catalogue as callers see it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc.aio
import orjson
import pytest
from hasp.inference.v1.model_service_pb2 import GetModelRequest, ListModelsRequest

from services.chassis.access import Principal
from services.chassis.errors import ServiceError
from services.inference.domain.catalogue import Catalogue
from services.inference.domain.usage import Usage
from tests.inference.conftest import ROOT, Failure, House, Refused

PATH = ROOT / "catalogue" / "catalogue.json"
NOW = datetime(2026, 5, 11, tzinfo=UTC)


async def listed(house: House, principal: Principal, **fields: Any) -> Any:
    try:
        return await house.models.ListModels(ListModelsRequest(**fields), metadata=house.metadata(principal), timeout=5)
    except grpc.aio.AioRpcError as error:
        raise Refused(Failure.of(error)) from None


async def test_models_are_listed_page_by_page(house: House, alice: Principal) -> None:
    every = await listed(house, alice)
    assert [model.id for model in every.data] == ["claude-sonnet-4-6", "claude-opus-4-6", "claude-haiku-4-5"]
    assert (every.has_more, every.first_id.string_value) == (False, "claude-sonnet-4-6")
    first = await listed(house, alice, limit=2)
    assert (len(first.data), first.has_more) == (2, True)
    rest = await listed(house, alice, after_id=first.last_id.string_value)
    assert ([model.id for model in rest.data], rest.has_more) == (["claude-haiku-4-5"], False)
    before = await listed(house, alice, before_id="claude-haiku-4-5", limit=1)
    assert ([model.id for model in before.data], before.has_more) == (["claude-opus-4-6"], True)
    with pytest.raises(Refused) as caught:
        await listed(house, alice, after_id="nobody")
    assert (caught.value.failure.http_status, caught.value.failure.param) == (400, "after_id")


async def test_one_model_is_found_by_its_id(house: House, alice: Principal) -> None:
    model = await house.models.GetModel(
        GetModelRequest(model_id="claude-haiku-4-5"), metadata=house.metadata(alice), timeout=5
    )
    assert (model.type, model.display_name) == ("model", "Claude Haiku 4.5")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await house.models.GetModel(GetModelRequest(model_id="gpt"), metadata=house.metadata(alice), timeout=5)
    assert Failure.of(caught.value).http_status == 404


def test_a_retired_model_names_its_successor(tmp_path: Path) -> None:
    written = orjson.loads(PATH.read_bytes())
    opus = next(entry for entry in written["models"] if entry["id"] == "claude-opus-4-6")
    opus |= {"retires_at": "2026-05-10T00:00:00+00:00", "recommended_replacement": "claude-sonnet-4-6"}
    (tmp_path / "catalogue.json").write_bytes(orjson.dumps(written))
    catalogue = Catalogue.read(tmp_path / "catalogue.json")
    with pytest.raises(ServiceError) as caught:
        catalogue.get("claude-opus-4-6", NOW)
    assert caught.value.reason == "MODEL_RETIRED"
    assert caught.value.details == {"recommended_replacement": "claude-sonnet-4-6"}
    assert "claude-opus-4-6" not in [model.id for model in catalogue.callable_models(NOW)]


def test_prices_and_credits_follow_the_catalogue() -> None:
    catalogue = Catalogue.read(PATH)
    sonnet, haiku = catalogue.get("claude-sonnet-4-6", NOW), catalogue.get("claude-haiku-4-5", NOW)
    usage = Usage(input_tokens=18, output_tokens=74)
    assert (sonnet.credits(usage), sonnet.cost_usd(usage)) == (92, 0.001164)
    assert haiku.credits(usage) == 30  # 92 × 0.33 = 30.36
    assert sonnet.credits(Usage(cache_read_tokens=5, cache_write_tokens=2)) == 3  # 0.5 + 2.5
