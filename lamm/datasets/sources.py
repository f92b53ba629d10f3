"""Where each data set of the benchmark comes from, and what belongs in its folder: the catalogue.

`tools/prepare_data.py` lays data out by it, `tools/check_data.py` says by it what is absent. Ids on Google Drive are
those of the benchmark's authors; links and MD5 sums are torchvision's where it has the data set.
"""

from lamm.datasets.fine_grained_sources import FGVC_AIRCRAFT, FOOD101, OXFORD_FLOWERS, OXFORD_PETS, STANFORD_CARS
from lamm.datasets.imagenet_sources import IMAGENET_SOURCES
from lamm.datasets.published_files import Need, Part, PublishedFile, Source, split_on_drive, split_part

MB, GB = 10**6, 10**9

CALTECH101 = Source(
    name="caltech101",
    title="Caltech-101",
    folder="caltech-101",
    page="https://data.caltech.edu/records/mzrjq-6wc02",
    parts=(
        Part("101_ObjectCategories", holds=("accordion/image_0001.jpg",), images=8242, folders=100),
        split_part(
            "split_zhou_Caltech101.json", 809184, "52ce83205ff8ff8a1a18119aad6376120ae35c36e783a984bc560cbf10e73fa5"
        ),
    ),
    files=(
        PublishedFile(
            "caltech-101.zip",
            ("101_ObjectCategories",),
            ("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",),
            md5="3138e1922a9193bfa496528edbbc45d0",
            bytes_about=137 * MB,
        ),
        split_on_drive("split_zhou_Caltech101.json", "1hyarUivQE36mY6jSomru6Fjd-JzwcCzN"),
    ),
    notes=("The older 101_ObjectCategories.tar.gz, which caltech-101.zip holds, does as well.",),
    unused=("101_ObjectCategories/BACKGROUND_Google/*", "101_ObjectCategories/Faces_easy/*"),
)

SUN_TROUBLE = "users report this link dead since September 2025"
SUN397 = Source(
    name="sun397",
    title="SUN397",
    folder="sun397",
    page="https://vision.princeton.edu/projects/2010/SUN/",
    parts=(
        Part("SUN397", holds=("a/abbey",), images=39700, folders=397),
        split_part("split_zhou_SUN397.json"),
        *(Part(name, Need.LISTS) for name in ("ClassName.txt", "Training_01.txt", "Testing_01.txt")),
    ),
    files=(
        PublishedFile(
            "SUN397.tar.gz",
            ("SUN397",),
            ("http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",),
            md5="8ca2778205c41d23104230ba66911c7a",
            bytes_about=39 * GB,
            trouble=SUN_TROUBLE,
        ),
        split_on_drive("split_zhou_SUN397.json", "1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq"),
        PublishedFile(
            "Partitions.zip",
            ("ClassName.txt", "Training_01.txt", "Testing_01.txt"),
            ("https://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip",),
            trouble=SUN_TROUBLE,
        ),
    ),
    unused=("SUN397/*",),
)

DTD = Source(
    name="dtd",
    title="Describable Textures (DTD)",
    folder="dtd",
    page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    parts=(
        Part("images", holds=("banded/banded_0002.jpg",), images=5640, folders=47),
        split_part(
            "split_zhou_DescribableTextures.json",
            563702,
            "f26ebeccd2b58e68d70f07a0dc39fe49bf7b69024bac34396b954dfd87969c38",
        ),
        Part("labels", Need.EXTRA, holds=("train1.txt",)),
        Part("imdb", Need.EXTRA, holds=("imdb.mat",)),
    ),
    files=(
        PublishedFile(
            "dtd-r1.0.1.tar.gz",
            ("images", "labels", "imdb"),
            ("https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",),
            md5="fff73e5086ae6bdbea199a49dfb8a4c1",
            bytes_about=625 * MB,
        ),
        split_on_drive("split_zhou_DescribableTextures.json", "1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x"),
    ),
)

EUROSAT = Source(
    name="eurosat",
    title="EuroSAT (RGB)",
    folder="eurosat",
    page="https://github.com/phelber/eurosat",
    parts=(
        Part("2750", holds=("AnnualCrop/AnnualCrop_1.jpg",), images=27000, folders=10),
        split_part(
            "split_zhou_EuroSAT.json", 3006492, "541503a77d0b26b735d85ec7a3e672804fe0aa466c2e5f07da772cc6c0af8ad2"
        ),
    ),
    files=(
        PublishedFile(
            "EuroSAT.zip",
            ("2750",),
            (
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                "http://madm.dfki.de/files/sentinel/EuroSAT.zip",
            ),
            md5="c8fa014336c82ac7804f0398fcb19387",
            bytes_about=94 * MB,
        ),
        split_on_drive("split_zhou_EuroSAT.json", "1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o"),
    ),
)

UCF101 = Source(
    name="ucf101",
    title="UCF101 (middle frames)",
    folder="ucf101",
    page="https://www.crcv.ucf.edu/data/UCF101.php",
    parts=(
        Part(
            "UCF-101-midframes",
            holds=("Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg",),
            images=13320,
            folders=101,
        ),
        split_part(
            "split_zhou_UCF101.json", 1557485, "d78cb834f7c5792ceaff2c5ee2d7c76a9e4086e48a3a6b01232989d29cbefdd8"
        ),
        Part("ucfTrainTestlist", Need.LISTS, holds=("classInd.txt", "trainlist01.txt", "testlist01.txt")),
    ),
    files=(
        PublishedFile("UCF-101-midframes.zip", ("UCF-101-midframes",), drive_id="10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O"),
        split_on_drive("split_zhou_UCF101.json", "1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y"),
        PublishedFile(
            "UCF101TrainTestSplits-RecognitionTask.zip",
            ("ucfTrainTestlist",),
            ("https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip",),
        ),
    ),
    notes=("The videos of the page (UCF101.rar) are not needed: the benchmark uses one frame of each, as JPEG.",),
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        CALTECH101,
        OXFORD_PETS,
        STANFORD_CARS,
        OXFORD_FLOWERS,
        FOOD101,
        FGVC_AIRCRAFT,
        SUN397,
        DTD,
        EUROSAT,
        UCF101,
        *IMAGENET_SOURCES,
    )
}
"""Name on the command line → source."""


def source_of(name: str) -> Source:
    """The source of a benchmark data set, by its name on the command line.

    Raises:
        KeyError: it is none of the fifteen.
    """
    return SOURCES[name]
