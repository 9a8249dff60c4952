"""Addresses of data sets, sizes and checksums, and what nobody may automate.

Sizes and checksums are those that torchvision (`datasets/*.py`) and TensorFlow Datasets
(`url_checksums/*.txt`) publish for the same files, and CaltechDATA's for CUB. None where neither
does.
"""

from __future__ import annotations

from dataclasses import dataclass

from hsplid_core.data.fetching.download import Remote


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file to download, and what becomes of it.

    Attributes:
        remote: Where it is.
        provides: What is in the root once it has been fetched; if all of it is there already,
            nothing is downloaded.
        unpack: Whether it is an archive.
        prefixes: Beginnings of the names in the archive that are needed; none needs all.
        into: Folder of the root that it is unpacked to.
    """

    remote: Remote
    provides: tuple[str, ...]
    unpack: bool = True
    prefixes: tuple[str, ...] = ()
    into: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to come by a data set.

    Attributes:
        licence: In a few words.
        items: What to download, in this order.
        coco_images: Whether the single images that the annotations name are fetched, too.
        folder: Name of the folder where it usually lies, if not its own: it shares files.
        by_hand: What has to be asked for or laid out by people: where, and how. None if nothing.
    """

    licence: str
    items: tuple[Item, ...] = ()
    coco_images: bool = False
    folder: str | None = None
    by_hand: str | None = None

    @property
    def needs_people(self) -> bool:
        """Whether nothing of it can be fetched without a person."""
        return self.by_hand is not None and not self.items


def _mnist(name: str, size: int, md5: str) -> Item:
    url = f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}"
    return Item(
        remote=Remote(url=url, size=size, checksum=f"md5:{md5}"), provides=(name,), unpack=False
    )


_MNIST = Recipe(
    licence="CC BY-SA 3.0",
    folder="mnist",
    items=(
        _mnist("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        _mnist("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
        _mnist("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
        _mnist("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
)


def _dogs(name: str, size: int, sha256: str, *provides: str) -> Item:
    url = f"http://vision.stanford.edu/aditya86/ImageNetDogs/{name}"
    return Item(remote=Remote(url=url, size=size, checksum=f"sha256:{sha256}"), provides=provides)


_CUB = (
    Item(
        remote=Remote(
            url="https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            size=1_150_585_339,
            checksum="md5:97eceeb196236b17998738112f37df78",
        ),
        provides=("CUB_200_2011/images", "CUB_200_2011/images.txt"),
        prefixes=("CUB_200_2011/",),
    ),
    Item(
        remote=Remote(
            url="https://data.caltech.edu/records/w9d68-gec53/files/segmentations.tgz",
            size=39_272_883,
            checksum="md5:4d47ba1228eae64f2fa547c47bc65255",
        ),
        provides=("CUB_200_2011/segmentations",),
        prefixes=("segmentations/",),
        into="CUB_200_2011",
    ),
)
_CUB_LICENCE = "research and education only"

RECIPES: dict[str, Recipe] = {
    "coco_animals": Recipe(
        licence="annotations CC BY 4.0; images by Flickr's terms",
        items=(
            Item(
                remote=Remote(
                    url="http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                    size=252_907_541,
                    checksum="sha256:"
                    "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
                ),
                provides=(
                    "annotations/instances_train2017.json",
                    "annotations/instances_val2017.json",
                ),
                prefixes=("annotations/instances_",),
            ),
        ),
        coco_images=True,
    ),
    "imagenette": Recipe(
        licence="Apache 2.0; images by ImageNet's terms",
        items=(
            Item(
                remote=Remote(
                    url="https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz",
                    size=1_556_914_727,
                    checksum="md5:fe2fc210e6bb7c5664d602c3cd71e612",
                ),
                provides=("imagenette2/train", "imagenette2/val"),
            ),
        ),
    ),
    "cifar10": Recipe(
        licence="none stated; cite the report",
        items=(
            Item(
                remote=Remote(
                    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    size=170_498_071,
                    checksum="md5:c58f30108f718f92721af3b95e74349a",
                ),
                provides=("cifar-10-batches-py",),
            ),
        ),
    ),
    "mnist": _MNIST,
    "cmnist": _MNIST,
    "cub": Recipe(licence=_CUB_LICENCE, items=_CUB),
    "cub_gha": Recipe(
        licence=_CUB_LICENCE,
        items=_CUB[:1],
        folder="cub",
        by_hand="the maps of gaze lie on Google Drive: get them by the link at "
        "https://github.com/yaorong0921/CUB-GHA and unpack them to CUB_200_2011/CUB_GHA/1.jpg and "
        "so on",
    ),
    "imagenet": Recipe(
        licence="ImageNet's terms, research only",
        by_hand="it needs an account: register at https://image-net.org/download, then unpack "
        "ILSVRC2012_img_train.tar to train/n01440764/*.JPEG and so on, and "
        "ILSVRC2012_img_val.tar to val/n01440764/*.JPEG and so on; or unpack the archive of "
        "https://www.kaggle.com/c/imagenet-object-localization-challenge as it is",
    ),
    "imagenet9": Recipe(
        licence="MIT; images by ImageNet's terms",
        items=(
            Item(
                remote=Remote(
                    url="https://github.com/MadryLab/backgrounds_challenge/releases/download/"
                    "data/backgrounds_challenge_data.tar.gz"
                ),
                provides=tuple(
                    f"bg_challenge/{variant}/val"
                    for variant in ("original", "mixed_rand", "only_fg")
                ),
            ),
        ),
    ),
    "counter_animal": Recipe(
        licence="images by iNaturalist's terms",
        by_hand="it lies on Google Drive: get it by the link at https://counteranimal.github.io "
        "and unpack it to LAION-final/9 ostrich/common-ground/*.jpg and so on",
    ),
    "isic2017": Recipe(
        licence="CC0 1.0",
        by_hand="its challenge asks for its terms to be read: get the data, part 1 (masks) and "
        "part 3 (labels) of Training, Validation and Test at "
        "https://challenge.isic-archive.com/data/#2017, and unpack them to "
        "ISIC-2017_Training_Data/*.jpg, ISIC-2017_Training_Part1_GroundTruth/*.png, "
        "ISIC-2017_Training_Part3_GroundTruth.csv, and so Validation and Test_v2",
    ),
    "stanford_dogs": Recipe(
        licence="images by ImageNet's terms, research only",
        items=(
            _dogs(
                "images.tar",
                793_579_520,
                "a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
                "Images",
            ),
            _dogs(
                "annotation.tar",
                21_852_160,
                "662ed36f707be6b195c2fda392d8e153e83af28cedc8e2134a649f198def30fd",
                "Annotation",
            ),
            _dogs(
                "lists.tar",
                481_280,
                "34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
                "train_list.mat",
                "test_list.mat",
            ),
        ),
    ),
    "coco": Recipe(
        licence="yours",
        by_hand="it is a data set of your own: unpack there what Label Studio, CVAT, Roboflow or "
        "labelme export as COCO, images included",
    ),
    "folder": Recipe(
        licence="yours",
        by_hand="it is a folder of your own: lay it out as train/CLASS/*.jpg and test/CLASS/*.jpg",
    ),
}
