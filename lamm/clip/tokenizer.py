"""CLIP's byte-pair tokenizer without what wraps it: no start and end tokens, no padding, no truncation."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lamm.errors import BackboneError, PromptError


class Tokenizer:
    """Text to sub-token ids.

    Args:
        bpe: open_clip's `SimpleTokenizer` or the `clip` package's object of that name.
        start: id of the start token.
        end: id of the end token, the largest id there is.
        vocab_size: number of ids.
    """

    def __init__(self, bpe: Any, start: int, end: int, vocab_size: int) -> None:
        self._bpe = bpe
        self.start = start
        self.end = end
        self.vocab_size = vocab_size

    def encode(self, text: str) -> list[int]:
        """Sub-token ids of `text`, cleaned and lower-cased as CLIP does it, at any length.

        Raises:
            PromptError: `text` contains the written form of the start or end token.
        """
        ids: list[int] = self._bpe.encode(text)
        if self.start in ids or self.end in ids:
            raise PromptError(f'the text "{text}" contains CLIP\'s own start or end token: leave that out')
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of sub-token ids, lower case."""
        text: str = self._bpe.decode(list(ids))
        return text.strip()


@lru_cache(maxsize=8)
def load_tokenizer(architecture: str = "") -> Tokenizer:
    """The tokenizer of an open_clip architecture; without one, that of OpenAI's models.

    Raises:
        BackboneError: the architecture's tokenizer is not CLIP's byte-pair encoding.
    """
    import open_clip
    from open_clip.tokenizer import SimpleTokenizer

    config = open_clip.get_model_config(architecture) if architecture else None
    foreign = (config or {}).get("text_cfg", {}).get("hf_tokenizer_name")
    if foreign:
        raise BackboneError(
            f'open_clip:{architecture} reads text with the tokenizer "{foreign}", not with CLIP\'s byte-pair encoding: '
            "choose an architecture that has CLIP's, such as open_clip:ViT-B-16"
        )
    # open_clip makes one when it is imported; another takes as long as to build `tiny`.
    ready = None if architecture else getattr(open_clip.tokenizer, "_tokenizer", None)
    bpe = ready or open_clip.get_tokenizer(architecture)
    if not isinstance(bpe, SimpleTokenizer):
        raise BackboneError(
            f"open_clip:{architecture} reads text with a {type(bpe).__name__}, not with CLIP's byte-pair encoding: "
            "choose an architecture that has CLIP's, such as open_clip:ViT-B-16"
        )
    return Tokenizer(bpe, start=bpe.sot_token_id, end=bpe.eot_token_id, vocab_size=bpe.vocab_size)
