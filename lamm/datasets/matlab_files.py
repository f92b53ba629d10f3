"""MATLAB files that data sets keep their annotations in."""

from pathlib import Path
from typing import Any

from lamm.errors import DataError


def read_matlab(file: Path, variable: str) -> Any:
    """One variable of a `.mat` file, as `scipy.io.loadmat` gives it: an array with two dimensions or more.

    Raises:
        DataError: the file is missing or damaged, or has no such variable.
    """
    from scipy.io import loadmat  # slow to import, and needed only where the split file is absent

    try:
        content = loadmat(str(file), variable_names=[variable])
    except FileNotFoundError:
        raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
    except Exception as error:  # scipy's reader lets through whatever a broken file makes it trip over
        raise DataError(f"{file} can't be read as a MATLAB file ({error}); fetch it again") from None
    if variable not in content or getattr(content[variable], "ndim", 0) < 2 or not len(content[variable]):
        raise DataError(f'{file} has no variable "{variable}"; fetch the file again')
    return content[variable]
