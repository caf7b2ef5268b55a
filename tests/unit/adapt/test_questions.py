"""A prompt is given to a model as training shows it: the same tokens before the answer, and the answer's text as it was."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from seedstock.adapt.train.encode import IGNORED, encode_completion
from seedstock.adapt.train.questions import question_of, said


def tokenizer(*merges: tuple[str, str]) -> Any:
    """Bytes, and what is joined of them."""
    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges), "<end>"]
    whole = Tokenizer(models.BPE(vocab={word: at for at, word in enumerate(words)}, merges=list(merges)))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=whole, eos_token="<end>", pad_token="<end>")


JOINING = tokenizer(("Ġ", "<"), ("Ġ", "Ġ"), ("Ġ", "y"))
APART = tokenizer()


@pytest.mark.parametrize("prompt", ["3 4 -> 7 ", "3 4 -> 7", "say:  ", "say:\n"])
@pytest.mark.parametrize("completion", ["<think> 3 + 4 </think>", "yes"])
@pytest.mark.parametrize("known", [JOINING, APART], ids=["spaces-join", "bytes"])
def test_a_model_is_asked_with_the_tokens_that_training_shows(
    known: Any, prompt: str, completion: str
) -> None:
    learned = encode_completion(known, prompt, completion, assistant_only=True)
    answer = [token for token in learned.labels if token != IGNORED]
    question = question_of(prompt, known)
    assert [*question.ids, *answer] == learned.input_ids
    assert said(known, question, answer, [known.eos_token_id]) == completion
    assert (question.prompt, question.text) == (prompt, prompt)
