import pytest

from services.chassis.errors import ValidationFailed
from services.identity.domain.texts import check_printable, line, paragraphs, shown


def read_line(value: object) -> str:
    return line(value, "name", at_least=2, at_most=5)


@pytest.mark.parametrize("text", ["ab", "abcde", " a", "äöüß€", "日本", "a b"])
def test_a_line_within_its_limits_is_taken_as_it_is(text: str) -> None:
    assert read_line(text) == text


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        "abcdef",
        "   ",
        "\u200b\u200b",
        "\u00a0 ",
        "\u202e\u202d",
        "a\nb",
        "a\x00b",
        "a\x7f",
        "a\x85b",
        None,
        5,
        True,
        ["ab"],
    ],
)
def test_any_other_line_is_refused_and_named(value: object) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        read_line(value)
    assert refusal.value.param == "name"


@pytest.mark.parametrize("text", ["", " ", "a\nb\r\n\tc", "x" * 9])
def test_paragraphs_may_be_empty_and_broken_into_lines(text: str) -> None:
    assert paragraphs(text, "description", at_most=9) == text


@pytest.mark.parametrize("value", ["x" * 10, "a\x00", "\x1b[0m", 5, None, {}])
def test_any_other_paragraphs_are_refused_and_named(value: object) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        paragraphs(value, "description", at_most=9)
    assert refusal.value.param == "description"


def test_characters_are_counted_and_not_bytes() -> None:
    assert paragraphs("😀" * 9, "description", at_most=9) == "😀" * 9


def test_control_characters_of_both_blocks_are_refused() -> None:
    for code in (*range(0x20), *range(0x7F, 0xA0)):
        with pytest.raises(ValidationFailed):
            check_printable(f"a{chr(code)}b", "search")


def test_a_made_up_name_is_cut_and_shown_without_what_cannot_be_printed() -> None:
    assert shown("na\x00me\n") == "na\ufffdme\ufffd"
    assert shown("x" * 1000) == "x" * 100
