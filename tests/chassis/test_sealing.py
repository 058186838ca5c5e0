"""Sealed values open where they were sealed and nowhere else."""

import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.chassis.access import OrgId
from services.chassis.database import Database
from services.chassis.sealing import FileKek, SealBroken, Sealer
from tests.postgres import DatabaseFactory

ACME = OrgId("01ARZ3NDEKTSV4RRFFQ69G5FAV")
MALLORY = OrgId("01BX5ZZKBKACTAV9WEVGEMMVRZ")
SECRET = b"Jane Smith, MRN 4827193"


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def kek_file(tmp_path: Path) -> Path:
    return _write(tmp_path / "kek", _key())


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
async def db(database_factory: DatabaseFactory) -> AsyncIterator[Database]:
    database = Database(database_factory("inference").app_url, pool_size=1, hot_size=2)
    await database.open()
    yield database
    await database.close()


async def test_a_value_opens_where_it_was_sealed(db: Database, kek_file: Path) -> None:
    sealer = Sealer(db, FileKek(kek_file))
    sealed = await sealer.seal(ACME, table="records", row="1", plaintext=SECRET)
    assert SECRET not in sealed
    assert await sealer.open(ACME, table="records", row="1", sealed=sealed) == SECRET


async def test_another_process_with_the_same_key_opens_it(db: Database, kek_file: Path) -> None:
    sealed = await Sealer(db, FileKek(kek_file)).seal(ACME, table="records", row="1", plaintext=SECRET)
    assert await Sealer(db, FileKek(kek_file)).open(ACME, table="records", row="1", sealed=sealed) == SECRET


@pytest.mark.parametrize(
    ("org_id", "table", "row"), [(MALLORY, "records", "1"), (ACME, "settings", "1"), (ACME, "records", "2")]
)
async def test_it_does_not_open_elsewhere(db: Database, kek_file: Path, org_id: OrgId, table: str, row: str) -> None:
    sealer = Sealer(db, FileKek(kek_file))
    await sealer.seal(MALLORY, table="records", row="1", plaintext=b"a key of her own")
    sealed = await sealer.seal(ACME, table="records", row="1", plaintext=SECRET)
    with pytest.raises(SealBroken):
        await sealer.open(org_id, table=table, row=row, sealed=sealed)


async def test_no_altered_byte_is_overlooked(db: Database, kek_file: Path) -> None:
    sealer = Sealer(db, FileKek(kek_file))
    sealed = await sealer.seal(ACME, table="records", row="1", plaintext=SECRET)
    for position in range(len(sealed)):
        altered = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises(SealBroken):
            await sealer.open(ACME, table="records", row="1", sealed=altered)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            await sealer.open(ACME, table="records", row="1", sealed=sealed[:length])


async def test_older_values_open_after_a_rotation(db: Database, kek_file: Path) -> None:
    sealer = Sealer(db, FileKek(kek_file))
    before = await sealer.seal(ACME, table="records", row="1", plaintext=SECRET)
    assert await sealer.rotate(ACME) == 2
    after = await sealer.seal(ACME, table="records", row="1", plaintext=SECRET)
    assert int.from_bytes(after[1:5]) == 2
    assert await sealer.open(ACME, table="records", row="1", sealed=before) == SECRET
    assert await sealer.open(ACME, table="records", row="1", sealed=after) == SECRET
    claiming_the_older_key = after[:1] + before[1:5] + after[5:]
    with pytest.raises(SealBroken):
        await sealer.open(ACME, table="records", row="1", sealed=claiming_the_older_key)


async def test_what_lasts_is_derived_alike_after_a_rotation(db: Database, kek_file: Path) -> None:
    sealer = Sealer(db, FileKek(kek_file))
    lasting = await sealer.derive(ACME, "hashes", lasting=True)
    passing = await sealer.derive(ACME, "cache")
    await sealer.rotate(ACME)
    for each in (sealer, Sealer(db, FileKek(kek_file))):
        assert await each.derive(ACME, "hashes", lasting=True) == lasting
        assert await each.derive(ACME, "cache") != passing
        assert await each.derive(MALLORY, "hashes", lasting=True) != lasting
    assert await sealer.derive(ACME, "cache", lasting=True) != lasting


async def test_the_key_encryption_key_can_be_changed(db: Database, tmp_path: Path) -> None:
    first = _key()
    kek_file = _write(tmp_path / "kek", first)
    sealed = await Sealer(db, FileKek(kek_file)).seal(ACME, table="records", row="1", plaintext=SECRET)
    _write(kek_file, f"{_key()}\n{first}\n")
    assert await Sealer(db, FileKek(kek_file)).open(ACME, table="records", row="1", sealed=sealed) == SECRET
    _write(kek_file, _key())
    with pytest.raises(SealBroken):
        await Sealer(db, FileKek(kek_file)).open(ACME, table="records", row="1", sealed=sealed)


async def test_the_memory_for_keys_is_bounded(db: Database, kek_file: Path) -> None:
    sealer = Sealer(db, FileKek(kek_file), max_keys=2)
    organizations = [OrgId(f"{number:026d}") for number in range(5)]
    sealed = [await sealer.seal(org, table="records", row="1", plaintext=SECRET) for org in organizations]
    assert len(sealer._keys) == 2
    for org, value in zip(organizations, sealed, strict=True):
        assert await sealer.open(org, table="records", row="1", sealed=value) == SECRET


async def test_derived_keys_differ_by_purpose_and_organization(db: Database, kek_file: Path) -> None:
    sealer = Sealer(db, FileKek(kek_file))
    keys = {await sealer.derive(org, purpose) for org in (ACME, MALLORY) for purpose in ("phi-cache", "other")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert await Sealer(db, FileKek(kek_file)).derive(ACME, "phi-cache") in keys


def test_a_key_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    path.write_text(base64.b64encode(b"short").decode())
    with pytest.raises(ValueError, match="32 bytes"):
        FileKek(path)
