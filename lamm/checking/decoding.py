"""Decoding every image, in several processes: the only way to know that none is cut off.

Nothing heavy is imported here, since each process imports this file anew.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from PIL import Image, ImageFile, UnidentifiedImageError
from tqdm import tqdm

EMPTY, FOREIGN, DAMAGED = "empty", "foreign", "damaged"
_A_TASK = 64
_WORTH_PROCESSES = 1000


def problem_of(path: str) -> tuple[str, str] | None:
    """What is wrong with an image: its kind (empty, foreign, damaged, or the system's reason), and the details.

    A JPEG is decoded at an eighth of its size: every byte of it is read and decoded all the same, and only the
    last step, which makes pixels, is smaller.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        if os.path.getsize(path) == 0:
            return EMPTY, ""
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            image.draft(image.mode, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except UnidentifiedImageError:
        return FOREIGN, ""
    except OSError as error:
        return (error.strerror.lower(), "") if error.errno and error.strerror else (DAMAGED, str(error))
    except Exception as error:  # Pillow's readers let through whatever a broken file makes them trip over
        return DAMAGED, str(error) or type(error).__name__
    return None


def undecodable(paths: Sequence[str], description: str, workers: int) -> Iterator[tuple[str, str, str]]:
    """The images that can't be decoded, as (path, kind, details), in any order; a progress bar shows how far it is.

    Args:
        paths: of files.
        description: in front of the bar.
        workers: processes.
    """
    tasks = [paths[start : start + _A_TASK] for start in range(0, len(paths), _A_TASK)]
    with tqdm(total=len(paths), desc=description, unit="img", disable=None) as bar:
        if workers < 2 or len(paths) < _WORTH_PROCESSES:
            for task in tasks:
                yield from _problems(task)
                bar.update(len(task))
            return
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        try:
            started: dict[Future[list[tuple[str, str, str]]], int] = {
                pool.submit(_problems, task): len(task) for task in tasks
            }
            for done in as_completed(started):
                yield from done.result()
                bar.update(started[done])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _problems(paths: Sequence[str]) -> list[tuple[str, str, str]]:
    found = ((path, problem_of(path)) for path in paths)
    return [(path, *problem) for path, problem in found if problem is not None]
