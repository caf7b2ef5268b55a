"""The tree of messages: what is one, and its branches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.chats.export import to_markdown
from seedstock.chats.messages import (
    MAX_TEXT_BYTES,
    Attachment,
    Message,
    branch,
    check_tree,
    cleaned,
    question_text,
    size_of,
)
from seedstock.core.errors import Invalid, TooLarge


def question(id: str, parent: str | None = None, content: str = "?") -> Message:
    return Message(id, "user", content, parent)


def answer(id: str, parent: str | None, content: str = "!") -> Message:
    return Message(id, "assistant", content, parent)


TREE = [
    question("a0000000"),
    answer("b0000000", "a0000000"),
    answer("b1111111", "a0000000"),
    question("c0000000", "b0000000"),
    question("a1111111"),
]


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages]


def test_a_branch_leads_from_the_beginning_to_its_end() -> None:
    assert ids(branch(TREE, "c0000000")) == ["a0000000", "b0000000", "c0000000"]
    assert ids(branch(TREE, "b1111111")) == ["a0000000", "b1111111"]
    assert ids(branch(TREE, "unknown0")) == ids(branch(TREE, None)) == ["a1111111"]
    assert branch([], None) == []


@pytest.mark.parametrize(
    "messages",
    [
        [answer("a0000000", None)],
        [question("a0000000"), question("b0000000", "a0000000")],
        [question("a0000000"), answer("b0000000", "a0000000"), answer("c0000000", "b0000000")],
        [question("a0000000", "a0000000")],
        [question("a0000000", "b0000000"), answer("b0000000", "a0000000")],
        [question("a0000000"), question("a0000000")],
    ],
    ids=["answer first", "two questions", "two answers", "own parent", "cycle", "twice"],
)
def test_what_is_no_conversation_is_refused(messages: list[Message]) -> None:
    with pytest.raises(Invalid):
        check_tree(messages)


@given(st.lists(st.integers(0, 30), max_size=30))
def test_every_branch_of_a_tree_alternates_and_ends_where_it_should(parents: list[int]) -> None:
    messages: list[Message] = []
    for number, at in enumerate(parents):
        parent = messages[at] if at < len(messages) else None
        role = "assistant" if parent is not None and parent.role == "user" else "user"
        messages.append(Message(f"{number:08x}", role, "", parent.id if parent else None))  # type: ignore[arg-type]
    assert list(check_tree(messages).values()) == messages
    for message in messages:
        found = branch(messages, message.id)
        assert found[-1] is message
        assert [each.role for each in found] == ["user", "assistant"] * (len(found) // 2) + ["user"] * (
            len(found) % 2
        )
        assert check_tree(found)


def test_texts_are_made_storable_and_measured_in_bytes() -> None:
    whole = cleaned(Message("a0000000", "user", "a\0b\ud800", attachments=(Attachment("n\0", "ü"),)))
    assert whole.content == "a\ufffdb?"
    assert whole.attachments == (Attachment("n\ufffd", "ü"),)
    assert size_of(Message("a0000000", "user", "ü", reasoning="ab")) == 4
    half = "x" * (MAX_TEXT_BYTES // 2)
    cleaned(Message("a0000000", "user", half, attachments=(Attachment("", half),)))
    with pytest.raises(TooLarge):
        cleaned(Message("a0000000", "user", half, attachments=(Attachment("n", half),)))


@pytest.mark.parametrize("id", ["", "a", "A0000000", "a000000g", "a" * 33, "a0000000\n", "../../../"])
def test_ids_are_hexadecimal(id: str) -> None:
    with pytest.raises(Invalid):
        cleaned(question(id))


def test_a_file_goes_before_the_question() -> None:
    message = Message("a0000000", "user", "Why?", attachments=(Attachment("a.txt", "graft"),))
    assert question_text(message) == "File a.txt:\n\ngraft\n\nWhy?"


def test_nothing_in_a_file_ends_its_block() -> None:
    file = Attachment("a\n# b.md", "```\n# not a heading\n````")
    text = to_markdown("T\n# x", "Be brief.", [Message("a0000000", "user", "hi", attachments=(file,))])
    assert text == (
        "# T # x\n\n## System\n\nBe brief.\n\n## You\n\nAttached: `a # b.md`\n\n"
        "`````\n```\n# not a heading\n````\n`````\n\nhi\n"
    )
