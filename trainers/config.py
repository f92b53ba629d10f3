"""The config nodes and keys that our trainers read, with their defaults."""

import functools
from typing import Any

from yacs.config import CfgNode

from lamm.errors import ConfigError

# Key → default. What each means, with its unit or choices, stands beside it.
KEYS: dict[str, Any] = {
    "DATASET.SUBSAMPLE_CLASSES": "all",  # all | base (first half of the classes) | new (second half)
    "DATASET.CSV": "",  # file of data set csv, a CSV or JSONL of path,label[,split]
    "DATASET.ORIGINAL_PICKS": False,  # few-shot picks that the original code left beside the data, not ours
    "DATASET.TEMPLATE": "",  # of ZeroshotCLIP, KgCoOp and heads, with {} for the class name; empty: the data set's own
    "INCREMENTAL.STEPS": 0,  # sets that the classes are cut into and learned one after the other; 0: all at once
    "INCREMENTAL.STEP": 0,  # which set this run learns, from 1; it starts from the step before, a folder beside its own
    "INCREMENTAL.ORDER_SEED": -1,  # of the order of the classes before the cut (the field's: 1993); -1: the data set's
    "INCREMENTAL.FIRST": 0,  # classes in the first set, the others share the rest; 0: all sets are equal
    "INCREMENTAL.SEEN_AS_NEGATIVES": False,  # earlier classes, frozen, are in the softmax too when new ones are learned
    "INPUT.EXIF": "auto",  # orientation in EXIF: auto (applied to a user's own images) | apply | ignore
    "INPUT.DECODING": "exact",  # exact (Pillow's and torchvision's pixels, to the bit) | fast (docs/decoding.md)
    "INPUT.CACHE_VIEWS": 0,  # views of each training image that are encoded once and trained on; 0: a new one each step
    "INPUT.CACHE_DIR": "",  # folder of cached image features; empty: lamm/features in the user's cache folder
    "INPUT.CACHE_GB": 10.0,  # what the cached features may take on the disk, in GB; the longest unread go first
    "MODEL.BACKBONE.PATH": "",  # weights file of the backbone, or its folder; empty: the usual places
    "TRAINER.TEXT_CHUNK": 0,  # prompts that training encodes at a time; 0: 512, or all on a GPU that has room
    "TRAINER.TEXT_MEMORY": 0,  # MiB to keep of them for the backward pass, others are encoded twice; 0: half the free
    "TRAINER.ZEROSHOTCLIP.ENSEMBLE": False,  # mean over the data set's template and seven of ImageNet's
    "TRAINER.ZEROSHOTCLIP.PREC": "auto",  # auto | fp32 | fp16 | amp | bf16, here and below
    "TRAINER.GDA.CHOICE": "train",  # of α and shrinkage: train (leave-one-out) | val (α alone, as published)
    "TRAINER.GDA.PREC": "auto",
    "TRAINER.LINEARPROBE.CHOICE": "train",  # of C: train (cross-validation) | val (as published)
    "TRAINER.LINEARPROBE.PREC": "auto",
    "TRAINER.TIPADAPTER.CHOICE": "train",  # of α and β: train (leave-one-out) | val (as published)
    "TRAINER.TIPADAPTER.PREC": "auto",
    "TRAINER.NEARESTMEAN.PREC": "auto",
    "TRAINER.RANPAC.PREC": "auto",
    "TRAINER.RANPAC.PROJECTION": 10_000,  # M, projected features; a checkpoint holds M² numbers
    "TRAINER.COOP.N_CTX": 16,  # context vectors; CTX_INIT's sub-tokens count where it is given
    "TRAINER.COOP.CSC": False,  # context vectors for every class of its own
    "TRAINER.COOP.CTX_INIT": "",  # words that the context starts from; empty: random
    "TRAINER.COOP.PREC": "auto",
    "TRAINER.COOP.CLASS_TOKEN_POSITION": "end",  # end | middle | front
    "TRAINER.COCOOP.N_CTX": 16,  # as COOP's
    "TRAINER.COCOOP.CTX_INIT": "",
    "TRAINER.COCOOP.PREC": "auto",
    "TRAINER.MAPLE.N_CTX": 2,  # context vectors a layer; the words of CTX_INIT beyond them stay
    "TRAINER.MAPLE.CTX_INIT": "a photo of a",  # words before the class name; empty: random vectors alone
    "TRAINER.MAPLE.PREC": "auto",
    "TRAINER.MAPLE.PROMPT_DEPTH": 9,  # layers of both towers that get prompts, the input being the first
    "TRAINER.KGCOOP.N_CTX": 4,  # as COOP's
    "TRAINER.KGCOOP.CTX_INIT": "a photo of a",
    "TRAINER.KGCOOP.PREC": "auto",
    "TRAINER.KGCOOP.LAMBDA_KG": 8.0,  # λ, weight of the distance to the hand-written prompts' features
    "TRAINER.PROMPTSRC.N_CTX": 4,  # as MAPLE's
    "TRAINER.PROMPTSRC.CTX_INIT": "a photo of a",
    "TRAINER.PROMPTSRC.PREC": "auto",
    "TRAINER.PROMPTSRC.PROMPT_DEPTH": 9,
    "TRAINER.PROMPTSRC.LAMBDA_TEXT": 25.0,  # λ_t, weight of the distance of text features to the templates'
    "TRAINER.PROMPTSRC.LAMBDA_IMAGE": 10.0,  # λ_i, of that of image features to frozen CLIP's
    "TRAINER.PROMPTSRC.GPA_MEAN": 30.0,  # m, the epoch that counts most in the mean that is tested
    "TRAINER.PROMPTSRC.GPA_STD": 30.0,  # σ, in epochs
    "TRAINER.LAMM.ENABLED": True,  # False: the base learner
    "TRAINER.LAMM.LABEL_TOKENS": "name",  # name (a vector a sub-token) | single (one a class) | released
    "TRAINER.LAMM.LABEL_INIT": "words",  # words | random (normal, std 0.02)
    "TRAINER.LAMM.HIERARCHICAL_LOSS": True,  # False: cross-entropy alone
    "TRAINER.LAMM.LAMBDA_WC": -1.0,  # λ1, parameter space; negative: 1 / shots
    "TRAINER.LAMM.LAMBDA_COS": 1.0,  # λ2, feature space
    "TRAINER.LAMM.LAMBDA_KD": 0.05,  # λ3, logits space
    "TRAINER.LAMM.KD_TEMPERATURE": 2.0,  # T
    "TRAINER.LAMM.KD_DIRECTION": "paper",  # paper | standard
    "TRAINER.LAMM.COS_OVER": "classes",  # classes | batch
    "TRAINER.LAMM.TEACHER": "clip",  # clip (frozen, original template) | prompt (current context, original names)
    "TRAINER.LAMM.UNSEEN_LABELS": "shared",  # shared (with what learned labels share) | clip (CLIP's own)
    "TRAINER.LAMM.CTX_INIT": "a photo of a",  # LAMM's frozen words before the class name
    "TRAINER.LAMM.PREC": "auto",
    "TRAINER.TOPLAMM.BLOCKS": -1,  # K, last blocks of the image tower that are tuned; -1: a third of them; 0: none
    "TRAINER.TOPLAMM.TUNE": "blocks",  # blocks (all of them) | lora (additions to q, k, v) | layernorm (norms alone)
    "TRAINER.TOPLAMM.BLOCKS_LR": 0.002,  # the blocks' learning rate; OPTIM.LR is the labels'
    "TRAINER.TOPLAMM.TUNED_WEIGHT": 0.3,  # w, share of the tuned feature in the score; the frozen one has the rest
    "TRAINER.TOPLAMM.GRAM": 0.5,  # weight of the term that holds a batch's Gram matrix near the frozen one
    "TRAINER.TOPLAMM.RANK": 4,  # r of lora
    "TRAINER.TOPLAMM.DROPOUT": 0.0,  # of lora's branch
    "TRAINER.CLIPLORA.RANK": 2,  # r
    "TRAINER.CLIPLORA.DROPOUT": 0.25,  # of the additions' input
    "TRAINER.CLIPLORA.STEPS_PER_SHOT": 500,  # steps for each shot where OPTIM.MAX_EPOCH is 0
    "TRAINER.CLIPLORA.PREC": "auto",
}


def extend_cfg(cfg: CfgNode) -> None:
    """Add the nodes and keys that `cfg` lacks; what is there already keeps its value."""
    for key, default in KEYS.items():
        *nodes, name = key.split(".")
        node = cfg
        for part in nodes:
            if part not in node:
                node[part] = CfgNode()
            node = node[part]
        if name not in node:
            node[name] = default


def completed(cfg: CfgNode) -> CfgNode:
    """The frozen config with every key that our trainers read, also where `extend_cfg` was not called or came first.

    Raises:
        ConfigError: True for a text. Others' code has a switch under some of our names, whose False is our "".
    """
    cfg = cfg.clone()
    cfg.defrost()
    extend_cfg(cfg)
    for key, default in KEYS.items():
        *nodes, name = key.split(".")
        node = functools.reduce(getattr, nodes, cfg)
        if isinstance(default, str) and isinstance(node[name], bool):
            if node[name]:
                raise ConfigError(f"config key {key} is True, but our trainers take a text there, such as the words")
            node[name] = ""
    cfg.freeze()
    return cfg
