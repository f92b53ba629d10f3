"""YAML files and command-line options into a config, with one-line errors.

The rules are yacs's: a text is evaluated as a literal if it is one, a value has the type of the key's default,
lists and tuples convert, `None` is always accepted. The config stays a plain yacs node.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode as CN

from lamm.errors import NEAR, ConfigError, nearest
from lamm.numbers import shown
from lamm.reading import read_yaml


def merge_config(cfg: CN, yaml_files: Sequence[str | PathLike[str]], options: Sequence[str]) -> None:
    """Merge YAML files, then `KEY VALUE` options, into `cfg`; what comes later wins.

    Args:
        cfg: The config, with every key that may be set.
        yaml_files: Paths of YAML files, each a mapping.
        options: Full keys and values in turn, such as `["OPTIM.LR", "0.01"]`.

    Raises:
        ConfigError: A file that is missing or not YAML, an unknown key, a value of the wrong type, a key
            without a value.
    """
    for path in yaml_files:
        _merge_mapping(cfg, _read_yaml(Path(path)), (), f"in {path}")
    _merge_options(cfg, options)


def _read_yaml(path: Path) -> Mapping[Any, Any]:
    if path.suffix not in ("", ".yaml", ".yml"):
        raise ConfigError(f"config file {path} is not YAML; its name has to end in .yaml or .yml")
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(f"config file {path} does not exist; check the path") from None
    except OSError as error:
        raise ConfigError(f"config file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file {path} is not UTF-8 text; save it as UTF-8") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            mark = error.problem_mark
            reason = f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or 'syntax error'}"
        raise ConfigError(f"config file {path} is not valid YAML: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f'config file {path} holds a {type(content).__name__}, not a mapping; write lines such as "SEED: 1"'
        )
    return content


def _merge_mapping(root: CN, mapping: Mapping[Any, Any], section: tuple[str, ...], where: str) -> None:
    """Merge one section of a file, key by key, so that an error knows its key."""
    node = root
    for name in section:
        node = node[name]
    for name, value in mapping.items():
        path = (*section, str(name))
        if isinstance(value, dict) and isinstance(node.get(name), CN):
            _merge_mapping(root, value, path, where)
            continue
        if name not in node and not _yacs_knows(root, node, path):
            raise ConfigError(_unknown_key(root, path, value, where))
        if _is_switch_or_words(node.get(name), path[-1], value):
            node[name] = value  # which has the right type from now on
        try:
            if name in node:
                node.merge_from_other_cfg(CN({name: value}))
            else:  # one of yacs's rules, which go by full names
                root.merge_from_other_cfg(CN(functools.reduce(lambda nested, part: {part: nested}, path[::-1], value)))
        except Exception as error:
            raise ConfigError(_refused(node.get(name), ".".join(path), value, where, error)) from error


def _merge_options(root: CN, options: Sequence[str]) -> None:
    where = "on the command line"
    for key in options[0::2]:
        if "=" in str(key):
            raise ConfigError(f'option "{shown(key)}" {where} holds "="; write the key, a space, and the value')
    if len(options) % 2:
        raise ConfigError(f'option "{shown(options[-1])}" {where} has no value; options are pairs KEY VALUE')
    for key, value in zip(options[0::2], options[1::2], strict=True):
        present, current = _look_up(root, key)
        if not present and not _yacs_knows(root, None, (key,)):
            raise ConfigError(_unknown_key(root, tuple(key.split(".")), value, where))
        *sections, name = key.split(".")
        try:
            if isinstance(current, CN):
                raise ValueError("a section")
            if _is_switch_or_words(current, name, CN._decode_cfg_value(value)):
                functools.reduce(getattr, sections, root)[name] = CN._decode_cfg_value(value)
            else:
                root.merge_from_list([key, value])
        except Exception as error:
            raise ConfigError(_refused(current, key, value, where, error)) from error


def _is_switch_or_words(current: Any, name: str, value: Any) -> bool:
    """Whether a key is CTX_INIT and changes from a text to a switch or back.

    It is a text in CoOp and a switch in KgCoOp, TCP and ProGrad, under the same name.
    """
    return name == "CTX_INIT" and {type(current), type(value)} == {bool, str}


def _look_up(root: CN, full_key: str) -> tuple[bool, Any]:
    """Whether the key exists, and its value."""
    node: Any = root
    for part in full_key.split("."):
        if not isinstance(node, CN) or part not in node:
            return False, None
        node = node[part]
    return True, node


def _yacs_knows(root: CN, parent: CN | None, path: tuple[str, ...]) -> bool:
    """Whether yacs has a rule for a key that is not in the tree: ignored, renamed, or free to be added."""
    full_key = ".".join(path)
    if root.key_is_renamed(full_key) or full_key in root.__dict__[CN.DEPRECATED_KEYS]:
        return True
    return parent is not None and parent.is_new_allowed()


def _unknown_key(root: CN, path: tuple[str, ...], value: Any, where: str) -> str:
    while isinstance(value, dict) and value:  # of an unknown section, the first key says most
        name, value = next(iter(value.items()))
        path = (*path, str(name))
    full_key = shown(".".join(path), longest=100)
    known = list(_full_keys(root))
    if full_key in known:
        return f'config key "{full_key}" {where} is written with dots; in a file, indent the key under its section'
    same_ending = [key for key in known if key.rpartition(".")[2] == full_key.rpartition(".")[2]]
    guess = nearest(full_key, reversed(same_ending or known), 0.0 if same_ending else NEAR)
    hint = f'; did you mean "{guess}"?' if guess is not None else ""
    return f'unknown config key "{full_key}" {where}{hint}'


def _full_keys(node: CN, prefix: str = "") -> Iterator[str]:
    """The full names of all values, sections left out."""
    for name, value in node.items():
        if isinstance(value, CN):
            yield from _full_keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _refused(current: Any, full_key: str, value: Any, where: str, error: Exception) -> str:
    """Why yacs does not take `value` for a key that is `current` now, on one line."""
    key = f'config key "{shown(full_key, longest=100)}" {where}'
    if isinstance(current, CN):
        return f"{key} is a section, not a value; its keys are {', '.join(current)}"
    if current is None:
        return f"{key}: {shown(' '.join(map(str, error.args)), longest=200)}"
    if isinstance(value, dict):
        return f"{key} is a value, not a section; it takes {type(current).__name__} (now {current!r})"
    if isinstance(error, ValueError):
        value = CN._decode_cfg_value(value)
    expected, got = type(current).__name__, type(value).__name__
    return f"{key} takes {expected} (now {current!r}), got {got} {_literal(value)}{_spelling(current, value)}"


def _spelling(current: Any, value: Any) -> str:
    """How to write the value that was probably meant."""
    if isinstance(current, bool):
        return "; write True or False"
    if isinstance(current, float) and type(value) is int:
        return f"; write {shown(value)}.0"
    if isinstance(current, int) and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if isinstance(current, str):
        return f"""; write "'{shown(value)}'" to make it a text"""
    return ""


def _literal(value: Any) -> str:
    """A value as it is written, shortened."""
    return f"'{shown(value)}'" if isinstance(value, str) else shown(value)
