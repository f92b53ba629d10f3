"""Package definition: `lamm` (the library), `lamm_trainers` (the folder `trainers/`), `lamm_configs` (`configs/`)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
(VERSION,) = re.findall(r'^__version__ = "(.+)"$', (ROOT / "lamm" / "__init__.py").read_text(encoding="utf-8"), re.M)

CORE = [
    "torch>=2.6",
    "torchvision>=0.21",
    "open_clip_torch>=2.30",
    "timm>=1.0.17",  # open_clip needs it; the WordNet ids of ImageNet's classes come from it
    "yacs>=0.1.8",
    "tabulate>=0.9",
    "pandas>=2.0",
    "scikit-learn>=1.3",
    "joblib>=1.2",  # scikit-learn needs it; it counts the cores that a container may use
    "safetensors>=0.4.3",
    "pillow>=11.3",  # the first that reads AVIF
    "tqdm>=4.66",  # the first with TQDM_DISABLE
    "tensorboard>=2.14",
]
PLOTS = ["matplotlib>=3.8"]
ONNX = ["onnx>=1.16", "onnxruntime>=1.18", "onnxscript>=0.1"]
PHOTOS = ["pillow-heif>=0.22", "pillow-jxl-plugin>=1.3"]  # HEIC and JPEG XL
SWEEP = ["ray>=2.9", "submitit>=1.5,<2", "rich>=13"]  # Slurm scripts use a private function of submitit
REVIEW = ["ImageHash>=4.3", "jinja2>=3.1"]
REPORT = ["jinja2>=3.1", *PLOTS]
BROWSER = ["playwright>=1.40"]  # drives a Chromium that is there: no browser is downloaded
APP = ["nicegui>=3.5"]  # serves its page itself: nothing is loaded from elsewhere
NOTEBOOK = ["nbclient>=0.10", "nbformat>=5.10", "ipykernel>=6.29"]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.5",
    "clip-anytorch>=2.5",
    "hypothesis>=6.100",
    *PLOTS,
    *PHOTOS,
    *ONNX,
    *SWEEP,
    *REPORT,
    *REVIEW,
    *BROWSER,
    *APP,
    *NOTEBOOK,
]

setup(
    name="lamm-clip",
    version=VERSION,
    description="LAMM: label alignment for multi-modal prompt learning, as trainers for the Dassl engine",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=[*find_packages(include=["lamm", "lamm.*"]), "lamm_trainers", "lamm_configs"],
    package_dir={"lamm_trainers": "trainers", "lamm_configs": "configs"},
    package_data={
        "lamm": [
            *("py.typed", "**/*.yaml", "**/*.json", "**/*.safetensors", "report/templates/*", "review/templates/*"),
            *("app/static/*", "app/elements/*"),
        ],
        "lamm_trainers": ["py.typed"],
        "lamm_configs": ["**/*.yaml"],
    },
    entry_points={"console_scripts": ["lamm = lamm.commands:main"]},
    install_requires=CORE,
    extras_require={
        "plots": PLOTS,
        "photos": PHOTOS,
        "drive": ["gdown>=5"],
        "onnx": ONNX,
        "sweep": SWEEP,
        "report": REPORT,
        "review": REVIEW,
        "app": APP,
        "test": TEST,
        "dev": [*TEST, "ruff>=0.6", "mypy>=1.11", "build>=1", "setuptools>=68", "wheel"],
    },
)
