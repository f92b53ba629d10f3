"""What a log says about the machine and the installed versions."""

import PIL
from torch.utils.collect_env import get_pretty_env_info


def collect_env_info() -> str:
    """torch's report on the system, and the version of Pillow; takes a few seconds."""
    return f"{get_pretty_env_info()}\n        Pillow ({PIL.__version__})"
