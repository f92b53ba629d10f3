"""Prompts as sub-tokens: which of them are context, class name and tail.

A prompt is: start token, context words, class name, full stop, end token. Byte-pair encoding can merge the last
piece of a name with the full stop ("C++." or "car (red)."), so the parts are located in the tokenised whole prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lamm.errors import PromptError

FULL_STOP = "."
DEFAULT_CONTEXT = "a photo of a"


class TokenizerLike(Protocol):
    """What a tokenizer must answer here: sub-token ids without start and end tokens, and those two ids."""

    start: int
    end: int

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class PromptTokens:
    """The sub-token ids of one class's prompt, without start and end token.

    Attributes:
        name: the class name, for messages.
        context: ids of the context words.
        label: ids of the class name; a last one that swallowed the full stop belongs to it.
        tail: the full stop's id, or nothing where the label swallowed it.
        alone: ids of the class name tokenised by itself, as the authors' code takes it for `LABEL_TOKENS released`:
            "C++" alone is "c ++", in the prompt "c + +.".
    """

    name: str
    context: tuple[int, ...]
    label: tuple[int, ...]
    tail: tuple[int, ...]
    alone: tuple[int, ...]


def spoken_words(text: str) -> str:
    """Words as they stand in a prompt: underscores are spaces, no surplus white space."""
    return " ".join(text.replace("_", " ").split())


def spoken(class_name: str) -> str:
    """The class name as it stands in a prompt; see `spoken_words`.

    Raises:
        PromptError: nothing is left of it.
    """
    words = spoken_words(class_name)
    if not words:
        raise PromptError(f'the class name "{class_name}" is empty: give every class a name')
    return words


def split_prompt(
    tokenizer: TokenizerLike, context: str, class_name: str, context_length: int = 77, reserved: int = 0
) -> PromptTokens:
    """Tokenise `context + " " + name + "."` and locate its parts.

    Args:
        tokenizer: CLIP's.
        context: the words before the name, such as "a photo of a"; may be empty.
        class_name: as the data set gives it.
        context_length: positions that the text tower has, start and end token included.
        reserved: positions that context vectors without words will take.

    Raises:
        PromptError: the name is empty, or the prompt is longer than the text tower takes.
    """
    words = tokenizer.encode(context)
    name = spoken(class_name)
    ids = tokenizer.encode(f"{context} {name}{FULL_STOP}")
    if ids[: len(words)] != words:
        raise PromptError(f'the class name "{class_name}" merges with the words "{context}" before it')
    require_length(class_name, len(ids) + reserved, context_length)
    label = ids[len(words) :]
    tail = tokenizer.encode(FULL_STOP)
    if label == tail:
        raise PromptError(f'no sub-token is left of the class name "{class_name}": give it a name that can be read')
    if label[-len(tail) :] == tail:
        label = label[: -len(tail)]
    else:
        tail = []
    return PromptTokens(class_name, tuple(words), tuple(label), tuple(tail), tuple(tokenizer.encode(name)))


def fill_template(template: str, class_name: str) -> str:
    """The class name put into a template such as "a photo of a {}, a type of pet.".

    Raises:
        PromptError: the template does not hold `{}` exactly once, or the name is empty.
    """
    if template.count("{}") != 1 or "{" in template.replace("{}", ""):
        raise PromptError(f'the template "{template}" must hold {{}} exactly once, where the class name goes')
    return template.replace("{}", spoken(class_name))


def tokenize(tokenizer: TokenizerLike, texts: Sequence[str], context_length: int = 77) -> list[list[int]]:
    """Rows of ids with start and end token, each as long as it is.

    Raises:
        PromptError: a text is longer than the text tower takes.
    """
    rows = []
    for text in texts:
        ids = tokenizer.encode(text)
        require_length(text, len(ids), context_length)
        rows.append([tokenizer.start, *ids, tokenizer.end])
    return rows


def require_length(name: str, tokens: int, context_length: int) -> None:
    """Refuse a prompt of `tokens` sub-tokens (start and end token not counted) that does not fit.

    Raises:
        PromptError: it does not; the message names the class.
    """
    if tokens + 2 > context_length:
        raise PromptError(
            f'the prompt of "{name}" has {tokens + 2} tokens, the text tower takes {context_length}: shorten the name'
        )
