"""Where ImageNet and its four variants come from: part of the catalogue in `lamm.datasets.sources`."""

from lamm.datasets.published_files import Need, Part, PublishedFile, Source

MB, GB = 10**6, 10**9

TRAIN, VAL, CLASS_NAMES = "images/train", "images/val", "classnames.txt"
DEVKIT, KAGGLE_SOLUTION = "ILSVRC2012_devkit_t12", "LOC_val_solution.csv"
IMAGENET_PAGE = "https://image-net.org/challenges/LSVRC/2012/2012-downloads.php"
REGISTRATION = f"it is given out to registered users only: log in at {IMAGENET_PAGE}"
LINK_ON_PAGE = "if the link fails, the page names the present one"
NAMES_NOTE = "classnames.txt (OpenAI's class names) is written by tools/prepare_data.py."

IMAGENET = Source(
    name="imagenet",
    title="ImageNet (ILSVRC 2012)",
    folder="imagenet",
    page=IMAGENET_PAGE,
    parts=(
        Part(TRAIN, inner=("CLS-LOC/train", "images/train"), holds=("n01440764",), images=1281167, folders=1000),
        Part(VAL, inner=("CLS-LOC/val", "images/val"), holds=("n01440764",), images=50000, folders=1000),
        Part(CLASS_NAMES),
        Part(DEVKIT, Need.SORTING, holds=("data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt")),
        Part(KAGGLE_SOLUTION, Need.EXTRA),
    ),
    files=(
        PublishedFile(
            "ILSVRC2012_img_train.tar",
            (TRAIN,),
            md5="1d675b47d978889d74fa0da5fadfb00e",
            bytes_about=147_897_477_120,
            trouble=REGISTRATION,
        ),
        PublishedFile(
            "ILSVRC2012_img_val.tar",
            (VAL,),
            md5="29b22e2961454d5413ddabcf34fc5622",
            bytes_about=6_744_924_160,
            trouble=REGISTRATION,
        ),
        PublishedFile(
            "ILSVRC2012_devkit_t12.tar.gz",
            (DEVKIT,),
            md5="fa75699e90414af021442c21a62c3abf",
            bytes_about=2_568_145,
            trouble=REGISTRATION,
        ),
    ),
    notes=(
        "The validation archive has no class folders: the devkit says which class each image is of.",
        "Kaggle's archive (imagenet-object-localization-challenge.zip) does in place of all three.",
        NAMES_NOTE,
    ),
)


def _variant(
    name: str, title: str, folder: str, page: str, part: Part, file: PublishedFile, notes: tuple[str, ...] = ()
) -> Source:
    return Source(name, title, folder, page, (part, Part(CLASS_NAMES)), (file,), (*notes, NAMES_NOTE))


V2_IMAGES = "imagenetv2-matched-frequency-format-val"
IMAGENET_V2 = _variant(
    "imagenetv2",
    "ImageNetV2 (matched frequency)",
    "imagenetv2",
    "https://github.com/modestyachts/ImageNetV2",
    Part(V2_IMAGES, holds=("0", "999"), images=10000, folders=1000),
    PublishedFile(
        "imagenetv2-matched-frequency.tar.gz",
        (V2_IMAGES,),
        (
            "https://s3-us-west-2.amazonaws.com/imagenetv2public/imagenetv2-matched-frequency.tar.gz",
            "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz",
        ),
        bytes_about=1_260 * MB,
        trouble=LINK_ON_PAGE,
    ),
)

IMAGENET_SKETCH = _variant(
    "imagenet_sketch",
    "ImageNet-Sketch",
    "imagenet-sketch",
    "https://github.com/HaohanWang/ImageNet-Sketch",
    Part("images", inner=("sketch", "imagenet-sketch/images"), holds=("n01440764",), images=50889, folders=1000),
    PublishedFile(
        "ImageNet-Sketch.zip",
        ("images",),
        bytes_about=7 * GB,
        trouble="the page links to it on Google Drive and on Kaggle; fetch it with a browser",
    ),
)

IMAGENET_A = _variant(
    "imagenet_a",
    "ImageNet-A (adversarial)",
    "imagenet-adversarial",
    "https://github.com/hendrycks/natural-adv-examples",
    Part("imagenet-a", holds=("n01498041",), images=7500, folders=200),
    PublishedFile(
        "imagenet-a.tar",
        ("imagenet-a",),
        ("https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",),
        bytes_about=690 * MB,
        trouble=LINK_ON_PAGE,
    ),
)

IMAGENET_R = _variant(
    "imagenet_r",
    "ImageNet-R (rendition)",
    "imagenet-rendition",
    "https://github.com/hendrycks/imagenet-r",
    Part("imagenet-r", holds=("n01443537",), images=30000, folders=200),
    PublishedFile(
        "imagenet-r.tar",
        ("imagenet-r",),
        ("https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",),
        bytes_about=2_200 * MB,
        trouble=LINK_ON_PAGE,
    ),
)

IMAGENET_SOURCES = (IMAGENET, IMAGENET_V2, IMAGENET_SKETCH, IMAGENET_A, IMAGENET_R)
