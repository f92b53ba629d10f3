"""Class names of a wanted number of sub-tokens, for measuring."""

from itertools import cycle, islice

from lamm.clip.tokenizer import Tokenizer

FIRST_WORD = 1000  # smaller ids are single characters and pieces of words


def class_names(tokenizer: Tokenizer, count: int, lengths: tuple[int, ...] = (1, 2, 3)) -> list[str]:
    """`count` names whose numbers of sub-tokens go round through `lengths`, made of words of one sub-token each.

    Args:
        tokenizer: CLIP's.
        count: how many; beyond the vocabulary words come again.
        lengths: numbers of sub-tokens.
    """
    found = []
    for token in range(FIRST_WORD, min(tokenizer.start, FIRST_WORD + 4 * count * max(lengths))):
        word = tokenizer.decode([token])
        if word.isascii() and word.isalpha() and tokenizer.encode(word) == [token]:
            found.append(word)
    words = cycle(found)
    return [" ".join(islice(words, lengths[number % len(lengths)])) for number in range(count)]
