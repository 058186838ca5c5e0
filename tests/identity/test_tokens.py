import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.authentication import WELL_FORMED
from services.identity.domain.tokens import UNMISTAKABLE, Format, Peppers, Token

KEY = bytes(range(32))


@pytest.mark.parametrize("form", Format)
def test_a_new_token_is_well_formed_and_shows_its_form(form: Format) -> None:
    token = Token.new(form)
    assert WELL_FORMED.fullmatch(token.plaintext)
    assert token.plaintext.startswith(token.prefix)
    assert len(token.plaintext) == len(token.prefix) + 32
    assert token.plaintext.endswith(token.last_four)


def test_the_later_form_has_no_characters_that_look_alike() -> None:
    assert not set("0O1Il") & set(UNMISTAKABLE)
    assert set(Token.new(Format.HASP_KEY_LIVE).plaintext.removeprefix("hasp_key_live_")) <= set(UNMISTAKABLE)


@pytest.mark.parametrize("form", Format)
def test_no_two_tokens_are_the_same(form: Format) -> None:
    assert len({Token.new(form).plaintext for _ in range(500)}) == 500


def test_a_token_is_hashed_with_the_newest_pepper_and_found_under_all() -> None:
    peppers = Peppers({1: KEY, 3: KEY[::-1]})
    hashed = peppers.hash("token")
    assert (hashed.pepper_version, hashed.digest) == (3, hmac.digest(KEY[::-1], b"token", hashlib.sha256))
    assert peppers.digests("token") == [hmac.digest(KEY, b"token", hashlib.sha256), hashed.digest]


@given(st.dictionaries(st.integers(1, 100), st.binary(min_size=32, max_size=64), min_size=1, max_size=4))
def test_peppers_are_read_as_they_are_written(keys: dict[int, bytes]) -> None:
    text = "\n".join(f"{version}:{base64.b64encode(key).decode()}" for version, key in keys.items())
    assert Peppers.parse(text).digests("token") == Peppers(keys).digests("token")


def test_a_single_line_without_a_version_is_version_one() -> None:
    assert Peppers.parse(base64.b64encode(KEY).decode() + "\n").hash("token") == Peppers({1: KEY}).hash("token")


@pytest.mark.parametrize("text", ["", "1:", "1:c2hvcnQ=", "1:%%%", "x:" + "A" * 44, "0:" + "A" * 44])
def test_a_pepper_that_protects_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pepper"):
        Peppers.parse(text)


def test_two_peppers_of_one_version_are_refused() -> None:
    line = f"1:{base64.b64encode(KEY).decode()}"
    with pytest.raises(ValueError, match="pepper"):
        Peppers.parse(f"{line}\n{line}")
