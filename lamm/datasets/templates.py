"""The zero-shot prompt template of each data set, by its registered name.

A class name goes where the `{}` is, with every `_` made a space.
"""

from lamm.log import logger

DEFAULT_TEMPLATE = "a photo of a {}."

TEMPLATES = {
    "Caltech101": DEFAULT_TEMPLATE,
    "OxfordPets": "a photo of a {}, a type of pet.",
    "StanfordCars": DEFAULT_TEMPLATE,
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "Food101": "a photo of {}, a type of food.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "SUN397": DEFAULT_TEMPLATE,
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "UCF101": "a photo of a person doing {}.",
    "ImageNet": DEFAULT_TEMPLATE,
    "ImageNetV2": DEFAULT_TEMPLATE,
    "ImageNetSketch": DEFAULT_TEMPLATE,
    "ImageNetA": DEFAULT_TEMPLATE,
    "ImageNetR": DEFAULT_TEMPLATE,
    "ImageFolder": DEFAULT_TEMPLATE,
    "Csv": DEFAULT_TEMPLATE,
    "Digits": DEFAULT_TEMPLATE,
    "Shapes": DEFAULT_TEMPLATE,
    "ShapesSketch": DEFAULT_TEMPLATE,
    "ShapesNoisy": DEFAULT_TEMPLATE,
    "ShapesInverted": DEFAULT_TEMPLATE,
}

# Seven of CLIP's 80 ImageNet templates, the best as an ensemble (arXiv:2103.00020's prompt engineering notebook).
IMAGENET_TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)


def ensemble_of(registered_name: str, own: str, given: str = "") -> list[str]:
    """The templates of an ensemble: the seven, and the data set's own except for ImageNet, as in CoOp's code.

    Args:
        registered_name: of the data set.
        own: its template.
        given: a user's template in place of the data set's own, for ImageNet too.
    """
    if registered_name == "ImageNet":
        own = ""
    return [*IMAGENET_TEMPLATES, *filter(None, [given or own])]


def template_of(registered_name: str) -> str:
    """The template of a data set; one that is not in the table gets "a photo of a {}." and a line in the log."""
    if registered_name not in TEMPLATES:
        logger.info(f'no prompt template is known for data set "{registered_name}": using "{DEFAULT_TEMPLATE}"')
    return TEMPLATES.get(registered_name, DEFAULT_TEMPLATE)
