"""Files from the web."""

import os
import shutil
import urllib.request

from lamm.errors import DataError
from lamm.files import atomic_path


def download_url(url: str, dst: str | os.PathLike[str]) -> None:
    """Download `url` to the file `dst`, which appears only when complete.

    Raises:
        DataError: A scheme other than http and https, or a download that fails.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f'can\'t download "{url}": only http and https addresses are fetched')
    print(f'* url="{url}"')
    print(f'* destination="{dst}"')
    try:
        with atomic_path(dst) as temporary, urllib.request.urlopen(url) as source, open(temporary, "wb") as target:
            shutil.copyfileobj(source, target)
    except OSError as error:
        raise DataError(f'can\'t download "{url}" to {dst}: {error}; fetch it by hand and put it there') from error
