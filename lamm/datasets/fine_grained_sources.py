"""Where the five fine-grained data sets come from: part of the catalogue in `lamm.datasets.sources`."""

from lamm.datasets.published_files import Need, Part, PublishedFile, Source, split_on_drive, split_part

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
