"""Where each data set of the benchmark comes from, and what belongs in its folder: the catalogue.

`tools/prepare_data.py` lays data out by it, `tools/check_data.py` says by it what is absent. Ids on Google Drive are
those of the benchmark's authors; links and MD5 sums are torchvision's where it has the data set.
"""

from dataclasses import dataclass
from enum import Enum

DRIVE_URL = "https://drive.google.com/file/d/{}/view"


class Need(Enum):
    """What a part of a data set's folder is for."""

    REQUIRED = "required"
    SPLIT = "published split"
    LISTS = "for a split of our own where the published one is absent"
    SORTING = "says which class each image is of, where a published archive has no class folders"
    EXTRA = "comes along, nothing here reads it"


@dataclass(frozen=True)
class Part:
    """One file or folder of a data set's folder.

    Attributes:
        target: where it goes, a POSIX path relative to the data set's folder.
        need: what it is for.
        inner: what it is called in archives: the end of a folder's or file's path there. Default: `target`.
        holds: what a folder must hold to be this part, relative to it; tells data sets with equal folder names apart.
        images: the least number of images in it and all folders below it; 0 for files and lists.
        folders: the least number of folders below it that hold images; 0 where images lie in it directly.
        size: of a file, in bytes; 0 is unknown.
        sha256: of a file; "" is unknown.
    """

    target: str
    need: Need = Need.REQUIRED
    inner: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    images: int = 0
    folders: int = 0
    size: int = 0
    sha256: str = ""

    @property
    def names_in_archives(self) -> tuple[str, ...]:
        """`inner`, or the default."""
        return self.inner or (self.target,)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, with images or lists in it."""
        return bool(self.images or self.holds)


@dataclass(frozen=True)
class PublishedFile:
    """A file that someone publishes, with some of a data set's parts in it.

    Attributes:
        name: its file name.
        gives: targets of the parts that it holds.
        urls: direct links, the most reliable first; none where it takes a browser or an account.
        md5: of the file; "" is unknown.
        bytes_about: its size, to be shown and to plan with, never checked; 0 is unknown.
        drive_id: its id on Google Drive.
        trouble: what stands in the way of getting it, in one sentence.
    """

    name: str
    gives: tuple[str, ...]
    urls: tuple[str, ...] = ()
    md5: str = ""
    bytes_about: int = 0
    drive_id: str = ""
    trouble: str = ""

    @property
    def where(self) -> str:
        """The link to open in a browser; "" where the data set's page is all there is."""
        return self.urls[0] if self.urls else DRIVE_URL.format(self.drive_id) if self.drive_id else ""


@dataclass(frozen=True)
class Source:
    """A data set: its page, the parts of its folder, and the published files.

    Attributes:
        name: on the command line.
        title: as people call it.
        folder: under the data root.
        page: where it is described.
        parts: what belongs in the folder, the images first.
        files: what to get.
        notes: what else one should know, a sentence each.
        unused: patterns (as in `fnmatch`) of files in the image folders that come along and that no split names.
    """

    name: str
    title: str
    folder: str
    page: str
    parts: tuple[Part, ...]
    files: tuple[PublishedFile, ...]
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def part(self, target: str) -> Part:
        """The part with this target.

        Raises:
            KeyError: there is none.
        """
        return {part.target: part for part in self.parts}[target]

    @property
    def image_parts(self) -> list[Part]:
        """The folders that hold images."""
        return [part for part in self.parts if part.images]

    def files_with(self, target: str) -> list[PublishedFile]:
        """The published files that hold a part; any one of them will do."""
        return [file for file in self.files if target in file.gives]


def split_part(target: str, size: int = 0, sha256: str = "") -> Part:
    """The published split file."""
    return Part(target, Need.SPLIT, size=size, sha256=sha256)


def split_on_drive(target: str, drive_id: str) -> PublishedFile:
    """The published split file, as the benchmark's authors keep it on Google Drive."""
    return PublishedFile(target, (target,), drive_id=drive_id)


VGG = "https://www.robots.ox.ac.uk/~vgg/data"
MB, GB = 10**6, 10**9

OXFORD_PETS = Source(
    name="oxford_pets",
    title="Oxford-IIIT Pets",
    folder="oxford_pets",
    page=f"{VGG}/pets/",
    parts=(
        Part("images", holds=("Abyssinian_1.jpg",), images=7349),
        split_part(
            "split_zhou_OxfordPets.json", 724217, "d7f3ffe65b3919f95132e51422894ae18686b83c331fd8c0adcdc3dc2de6301e"
        ),
        Part("annotations", Need.LISTS, holds=("trainval.txt", "test.txt")),
    ),
    files=(
        PublishedFile(
            "images.tar.gz",
            ("images",),
            (f"{VGG}/pets/data/images.tar.gz",),
            md5="5c4f3ee8e5d25df40f4fd59a7f44e54c",
            bytes_about=792 * MB,
        ),
        split_on_drive("split_zhou_OxfordPets.json", "1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs"),
        PublishedFile(
            "annotations.tar.gz",
            ("annotations",),
            (f"{VGG}/pets/data/annotations.tar.gz",),
            md5="95a8c909bbe2e81eed6a22bccdf3f68f",
            bytes_about=19 * MB,
        ),
    ),
    unused=("images/*",),
)

CARS_TROUBLE = (
    "users report this link dead since 2023, and torchvision no longer uses it; a copy will do if its files are still "
    "called cars_train/00001.jpg … and cars_test/00001.jpg … (copies sorted into a folder for each class won't)"
)
STANFORD_CARS = Source(
    name="stanford_cars",
    title="Stanford Cars",
    folder="stanford_cars",
    page="https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
    parts=(
        Part("cars_train", holds=("00001.jpg",), images=8144),
        Part("cars_test", holds=("00001.jpg",), images=8041),
        split_part(
            "split_zhou_StanfordCars.json", 1855652, "40acee7aa65c8e4727a32d90e884b7c3f8960b523422317e163f7af65432959d"
        ),
        Part("devkit", Need.LISTS, holds=("cars_meta.mat", "cars_train_annos.mat")),
        Part("cars_test_annos_withlabels.mat", Need.LISTS),
    ),
    files=(
        PublishedFile(
            "cars_train.tgz",
            ("cars_train",),
            ("http://ai.stanford.edu/~jkrause/car196/cars_train.tgz",),
            bytes_about=979 * MB,
            trouble=CARS_TROUBLE,
        ),
        PublishedFile(
            "cars_test.tgz",
            ("cars_test",),
            ("http://ai.stanford.edu/~jkrause/car196/cars_test.tgz",),
            bytes_about=977 * MB,
            trouble=CARS_TROUBLE,
        ),
        split_on_drive("split_zhou_StanfordCars.json", "1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT"),
        PublishedFile(
            "car_devkit.tgz",
            ("devkit",),
            ("https://ai.stanford.edu/~jkrause/cars/car_devkit.tgz",),
            trouble="users report this link dead since 2023",
        ),
        PublishedFile(
            "cars_test_annos_withlabels.mat",
            ("cars_test_annos_withlabels.mat",),
            ("http://ai.stanford.edu/~jkrause/car196/cars_test_annos_withlabels.mat",),
            trouble="users report this link dead since 2023",
        ),
    ),
)

OXFORD_FLOWERS = Source(
    name="oxford_flowers",
    title="Oxford Flowers 102",
    folder="oxford_flowers",
    page=f"{VGG}/flowers/102/",
    parts=(
        Part("jpg", holds=("image_00001.jpg",), images=8189),
        split_part(
            "split_zhou_OxfordFlowers.json", 771139, "2f50c42fc1a17ca13c271cb4269b1347bdb43d2be672e34f74a4e4cbfbcca794"
        ),
        Part("imagelabels.mat", Need.LISTS),
        Part("cat_to_name.json", Need.LISTS),
    ),
    files=(
        PublishedFile(
            "102flowers.tgz",
            ("jpg",),
            (f"{VGG}/flowers/102/102flowers.tgz",),
            md5="52808999861908f626f3c1f4e79d11fa",
            bytes_about=345 * MB,
        ),
        split_on_drive("split_zhou_OxfordFlowers.json", "1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT"),
        PublishedFile(
            "imagelabels.mat",
            ("imagelabels.mat",),
            (f"{VGG}/flowers/102/imagelabels.mat",),
            md5="e0620be6f572b9609742df49c70aed4d",
        ),
        split_on_drive("cat_to_name.json", "1AkcxCXeK_RCGCEC_GvmWxjcjaNhu-at0"),
    ),
)

FOOD101 = Source(
    name="food101",
    title="Food-101",
    folder="food-101",
    page="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    parts=(
        Part("images", holds=("apple_pie",), images=101000, folders=101),
        split_part("split_zhou_Food101.json"),
        Part("meta", Need.EXTRA, holds=("classes.txt",)),
    ),
    files=(
        PublishedFile(
            "food-101.tar.gz",
            ("images", "meta"),
            ("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",),
            md5="85eeb15f3717b99a5da872d97d918f87",
            bytes_about=5 * GB,
        ),
        split_on_drive("split_zhou_Food101.json", "1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl"),
    ),
)

AIRCRAFT_LISTS = tuple(f"images_variant_{part}.txt" for part in ("train", "val", "test"))
AIRCRAFT_EXTRA = (
    "families.txt",
    "manufacturers.txt",
    "images_box.txt",
    "images_variant_trainval.txt",
    *(
        f"images_{kind}_{part}.txt"
        for kind in ("family", "manufacturer")
        for part in ("train", "val", "trainval", "test")
    ),
)
FGVC_AIRCRAFT = Source(
    name="fgvc_aircraft",
    title="FGVC-Aircraft",
    folder="fgvc_aircraft",
    page=f"{VGG}/fgvc-aircraft/",
    parts=(
        Part("images", inner=("data/images", "fgvc_aircraft/images"), holds=("0034309.jpg",), images=10000),
        Part("variants.txt"),
        *(Part(name) for name in AIRCRAFT_LISTS),
        *(Part(name, Need.EXTRA) for name in AIRCRAFT_EXTRA),
    ),
    files=(
        PublishedFile(
            "fgvc-aircraft-2013b.tar.gz",
            ("images", "variants.txt", *AIRCRAFT_LISTS, *AIRCRAFT_EXTRA),
            (f"{VGG}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",),
            bytes_about=2_750 * MB,
        ),
    ),
    notes=("Its train, val and test lists are the official ones; there is no other split file.",),
)


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
