import pytest

from services.compliance.domain.clauses import Face, Heading, Paragraph, Run, parse


def test_headings_clauses_and_what_belongs_to_them_are_told_apart() -> None:
    blocks = parse("# Title\n\nVersion 1\n\n## 1. Terms\n\n1.1 It\nbegins.\n\n(a) first;\n\n2.10 *Access.* It shall.\n")
    assert blocks == [
        Heading(1, "Title"),
        Paragraph([Run("Version 1")]),
        Heading(2, "1. Terms"),
        Paragraph([Run("It begins.")], "1.1", 1),
        Paragraph([Run("first;")], "(a)", 2),
        Paragraph([Run("Access.", Face.ITALIC), Run(" It shall.")], "2.10", 1),
    ]


def test_lists_have_bullets_or_go_on_counting() -> None:
    blocks = parse("- one\n- two **bold**\n\n3. three\n4. four\n   - inner\n")
    assert [(block.label, block.depth, block.text) for block in blocks if isinstance(block, Paragraph)] == [
        ("•", 2, "one"),
        ("•", 2, "two bold"),
        ("3.", 2, "three"),
        ("4.", 2, "four"),
        ("•", 3, "inner"),
    ]


def test_a_number_that_only_begins_a_sentence_is_no_clause() -> None:
    for text in ("45 CFR 164.308 applies.", "10 days", "1.1", "(see 2.3)"):
        assert parse(text) == [Paragraph([Run(text)])]


@pytest.mark.parametrize(
    "markdown",
    [
        "<b>bold</b>",
        "<div>\n</div>",
        "[text](https://example.com)",
        "![picture](x)",
        "```\ncode\n```",
        "> quoted",
        "a\n\n---\n",
    ],
)
def test_what_would_not_be_set_is_refused(markdown: str) -> None:
    with pytest.raises(ValueError, match="an agreement has no"):
        parse(markdown)
