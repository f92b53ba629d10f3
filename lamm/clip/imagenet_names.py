"""OpenAI's names of the ImageNet classes, the ones that the benchmark uses."""


def imagenet_class_names() -> dict[str, str]:
    """WordNet id → name, by ascending id, which is the order of the labels. Two names come twice: OpenAI's list has
    "missile" for two classes and "sunglasses" for two.
    """
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo

    ids = ImageNetInfo("imagenet-1k").label_names()
    return dict(zip(ids, IMAGENET_CLASSNAMES, strict=True))
