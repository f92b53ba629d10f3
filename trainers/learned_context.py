"""What learners with context vectors of their own share: the room that these take, and the teacher's words."""

from lamm.clip.model import ClipModel
from lamm.errors import ConfigError
from lamm.prompts import DEFAULT_CONTEXT, PromptTokens

from .prompt_learner import PromptLearner

CONTEXT_STD = 0.02


class LearnedContextLearner(PromptLearner):
    """A learner whose context vectors start from words, or from none.

    A subclass sets `_n_ctx`, the number of vectors, before it calls this class's constructor.
    """

    _n_ctx: int

    def split_prompts(self, context: str, reserved: int = 0) -> list[PromptTokens]:
        """Every class's prompt; vectors without words take positions too."""
        return super().split_prompts(context, reserved if context else self._n_ctx)

    def teacher_words(self) -> str:
        """The words that the context starts from; "a photo of a" where it starts from none."""
        return self.context_words or DEFAULT_CONTEXT


def require_room(clip: ClipModel, n_ctx: int) -> None:
    """Refuse more context vectors than fit beside the shortest name.

    Raises:
        ConfigError: there are more.
    """
    longest = clip.text.context_length - 4  # start, one sub-token of a name, full stop, end
    if n_ctx > longest:
        raise ConfigError(f"N_CTX is {n_ctx}, but the text tower has room for at most {longest} context vectors")
