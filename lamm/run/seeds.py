"""The seeds that a command over several runs takes from $SEEDS."""

import re

from lamm.errors import ConfigError


def seed_list(text: str) -> list[int]:
    """The seeds in $SEEDS.

    Raises:
        ConfigError: there are none, one comes twice, or they are not whole numbers from 0 up.
    """
    words = text.replace(",", " ").split()
    if not words or not all(re.fullmatch("[0-9]+", word) for word in words):
        raise ConfigError(f'SEEDS must be whole numbers from 0 up, such as "1 2 3", got "{text}"')
    seeds = [int(word) for word in words]
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f'SEEDS must name each seed once, got "{text}"')
    return seeds
