"""The page of a review: one HTML file with thumbnails that needs nothing beside it."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from lamm.errors import ConfigError
from lamm.files import write_text
from lamm.report.page import TEMPLATES as REPORT_TEMPLATES
from lamm.report.page import page_environment
from lamm.report.panels import picture
from lamm.review.findings import Review

TEMPLATES = Path(__file__).parent / "templates"
MARK = '<meta name="generator" content="LAMM review">'
"""A page has this line near its beginning."""
KINDS = {
    "blurred": "Blurred",
    "dark": "Dark",
    "bright": "Bright",
    "small": "Small",
    "long": "Long and narrow",
    "odd": "Unlike all others",
}


def require_libraries() -> None:
    """Check that what fills the page is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise ConfigError('--html needs Jinja2; install it with: pip install -e ".[review]"') from error


def write_page(
    review: Review,
    file: str | os.PathLike[str],
    title: str,
    most: int,
    watch: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> int:
    """Write the page.

    Args:
        review: what it shows.
        file: the place.
        title: its heading.
        most: photos, groups or classes per section.
        watch: shows the progress over the photos that are read.

    Returns:
        Its size in bytes.

    Raises:
        OSError: it can't be written.
    """
    wrong, groups = list(review.wrong.head(most).itertuples()), review.duplicates[:most]
    odd = {title: [one for one in review.odd if one.kind == kind] for kind, title in KINDS.items()}
    shown = [one.photo for one in wrong] + [photo for group in groups for photo in group.photos]
    shown += [one.photo for some in odd.values() for one in some[:most]]
    pictures = {photo: picture(Path(review.photos.paths[photo])) for photo in watch([*dict.fromkeys(shown)])}
    text = (
        page_environment(TEMPLATES, REPORT_TEMPLATES)
        .get_template("review.html.j2")
        .render(
            mark=MARK,
            title=title,
            made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            most=most,
            review=review,
            photos=review.photos,
            names=review.class_names,
            wrong=wrong,
            groups=groups,
            odd={title: some for title, some in odd.items() if some},
            pictures=pictures,
        )
    )
    text = text.encode(errors="backslashreplace").decode()  # names of files may be no UTF-8
    write_text(file, text)
    return len(text.encode())
