"""The config tree: every key of the engine with its default.

A run builds its config in this order: these defaults, the keys that trainers add, YAML files, command-line
options (`merge_config`), `freeze()`. A value keeps the type of its default; lists and tuples convert.
"""

from yacs.config import CfgNode as CN

from lamm.engine.embedded.config_merge import merge_config

__all__ = ["cfg_default", "clean_cfg", "get_cfg_default", "merge_config"]

cfg_default = CN()

# Version of this tree; there is one.
cfg_default.VERSION = 1
# Folder that receives log, checkpoints and results.
cfg_default.OUTPUT_DIR = "./output"
# Folder of an earlier run to continue; "" looks in OUTPUT_DIR.
cfg_default.RESUME = ""
# Seed of all random generators, 0 or above; -1 leaves them unseeded.
cfg_default.SEED = -1
# Use a CUDA device if there is one.
cfg_default.USE_CUDA = True
# Print what is loaded and a summary of the data set.
cfg_default.VERBOSE = True

# Images: size, augmentation, normalisation.
cfg_default.INPUT = CN()
# Height and width in pixels that the model receives.
cfg_default.INPUT.SIZE = (224, 224)
# How resizing interpolates: bilinear, bicubic or nearest.
cfg_default.INPUT.INTERPOLATION = "bilinear"
# Names of the transforms to apply (`transforms.TRANSFORM_NAMES`); their order here means nothing.
cfg_default.INPUT.TRANSFORMS = ()
# Apply no transform at all, not even the conversion to a tensor.
cfg_default.INPUT.NO_TRANSFORM = False
# Mean of red, green, blue that `normalize` subtracts; pixels are in [0, 1]. ImageNet's by default.
cfg_default.INPUT.PIXEL_MEAN = [0.485, 0.456, 0.406]
# Standard deviation of red, green, blue that `normalize` divides by.
cfg_default.INPUT.PIXEL_STD = [0.229, 0.224, 0.225]
# Pixels that `random_crop` adds on each side before it crops.
cfg_default.INPUT.CROP_PADDING = 4
# Smallest and largest share of the image's area that `random_resized_crop` keeps, in (0, 1].
cfg_default.INPUT.RRCROP_SCALE = (0.08, 1.0)
# How many squares `cutout` blanks, and their side in pixels.
cfg_default.INPUT.CUTOUT_N = 1
cfg_default.INPUT.CUTOUT_LEN = 16
# Mean and standard deviation of what `gaussian_noise` adds, in the units of the normalised image.
cfg_default.INPUT.GN_MEAN = 0.0
cfg_default.INPUT.GN_STD = 0.15
# Operations per image in the `randaugment` family, and the strength (0 to 30) of those of `randaugment`.
cfg_default.INPUT.RANDAUGMENT_N = 2
cfg_default.INPUT.RANDAUGMENT_M = 10
# Largest change by `colorjitter`: brightness, contrast, saturation (factor 1 ± value), hue (0 to 0.5).
cfg_default.INPUT.COLORJITTER_B = 0.4
cfg_default.INPUT.COLORJITTER_C = 0.4
cfg_default.INPUT.COLORJITTER_S = 0.4
cfg_default.INPUT.COLORJITTER_H = 0.1
# Probability, 0 to 1, of `randomgrayscale`.
cfg_default.INPUT.RGS_P = 0.2
# Probability of `gaussian_blur`, and its kernel's side in pixels (odd).
cfg_default.INPUT.GB_P = 0.5
cfg_default.INPUT.GB_K = 21

cfg_default.DATASET = CN()
# Folder that holds the data sets' folders.
cfg_default.DATASET.ROOT = ""
# Registered name of the data set.
cfg_default.DATASET.NAME = ""
# Domains to train on and to test on, for data sets that have several.
cfg_default.DATASET.SOURCE_DOMAINS = ()
cfg_default.DATASET.TARGET_DOMAINS = ()
# Labelled images in all, for semi-supervised data sets; -1 means all.
cfg_default.DATASET.NUM_LABELED = -1
# Training images per class; below 1 means all.
cfg_default.DATASET.NUM_SHOTS = -1
# Share of the training images, 0 to 1, that data sets without a validation list set aside.
cfg_default.DATASET.VAL_PERCENT = 0.1
# Fold of STL-10, 0 to 9; -1 means all.
cfg_default.DATASET.STL10_FOLD = -1
# Corruption of CIFAR-C by name, and its severity, 1 to 5.
cfg_default.DATASET.CIFAR_C_TYPE = ""
cfg_default.DATASET.CIFAR_C_LEVEL = 1
# Semi-supervised: the labelled images serve as unlabelled ones too.
cfg_default.DATASET.ALL_AS_UNLABELED = False

cfg_default.DATALOADER = CN()
# Worker processes that load images; 0 loads in the main process, -1 sizes them to the machine (ours, not Dassl's).
cfg_default.DATALOADER.NUM_WORKERS = 4
# Augmented copies of each training image in a batch, 1 or above.
cfg_default.DATALOADER.K_TRANSFORMS = 1
# Also give each image as `img0`: resized, not augmented.
cfg_default.DATALOADER.RETURN_IMG0 = False
# Labelled training images.
cfg_default.DATALOADER.TRAIN_X = CN()
# RandomSampler, SequentialSampler, RandomDomainSampler or SeqDomainSampler.
cfg_default.DATALOADER.TRAIN_X.SAMPLER = "RandomSampler"
# Images per batch.
cfg_default.DATALOADER.TRAIN_X.BATCH_SIZE = 32
# Domains per batch of RandomDomainSampler; 0: all.
cfg_default.DATALOADER.TRAIN_X.N_DOMAIN = 0
# Images of one class in a batch, for a sampler of Dassl that this engine lacks.
cfg_default.DATALOADER.TRAIN_X.N_INS = 16
# Unlabelled training images; the keys mean the same.
cfg_default.DATALOADER.TRAIN_U = CN()
# Use the values of TRAIN_X and ignore those below.
cfg_default.DATALOADER.TRAIN_U.SAME_AS_X = True
cfg_default.DATALOADER.TRAIN_U.SAMPLER = "RandomSampler"
cfg_default.DATALOADER.TRAIN_U.BATCH_SIZE = 32
cfg_default.DATALOADER.TRAIN_U.N_DOMAIN = 0
cfg_default.DATALOADER.TRAIN_U.N_INS = 16
# Test and validation images.
cfg_default.DATALOADER.TEST = CN()
cfg_default.DATALOADER.TEST.SAMPLER = "SequentialSampler"
cfg_default.DATALOADER.TEST.BATCH_SIZE = 32

cfg_default.MODEL = CN()
# File of weights to start from; "" for none.
cfg_default.MODEL.INIT_WEIGHTS = ""
cfg_default.MODEL.BACKBONE = CN()
# Name of the backbone, such as ViT-B/16.
cfg_default.MODEL.BACKBONE.NAME = ""
# Start from pretrained weights.
cfg_default.MODEL.BACKBONE.PRETRAINED = True
# A network between backbone and classifier, for trainers that build one; prompt learners have none.
cfg_default.MODEL.HEAD = CN()
cfg_default.MODEL.HEAD.NAME = ""
# Widths of its hidden layers.
cfg_default.MODEL.HEAD.HIDDEN_LAYERS = ()
cfg_default.MODEL.HEAD.ACTIVATION = "relu"
# Batch normalisation, and the dropout probability (0: none).
cfg_default.MODEL.HEAD.BN = True
cfg_default.MODEL.HEAD.DROPOUT = 0.0

cfg_default.OPTIM = CN()
# adam, amsgrad, sgd, rmsprop, radam or adamw.
cfg_default.OPTIM.NAME = "adam"
# Learning rate, above 0; write 1.0, not 1.
cfg_default.OPTIM.LR = 0.0003
# L2 penalty.
cfg_default.OPTIM.WEIGHT_DECAY = 5e-4
# Momentum of sgd and rmsprop, 0 to 1.
cfg_default.OPTIM.MOMENTUM = 0.9
# Dampening of sgd's momentum; the spelling is upstream's.
cfg_default.OPTIM.SGD_DAMPNING = 0
cfg_default.OPTIM.SGD_NESTEROV = False
# Smoothing of rmsprop's squared gradient.
cfg_default.OPTIM.RMSPROP_ALPHA = 0.99
# Decay rates of the moments of adam, amsgrad, radam and adamw.
cfg_default.OPTIM.ADAM_BETA1 = 0.9
cfg_default.OPTIM.ADAM_BETA2 = 0.999
# Train the children named in NEW_LAYERS at LR and the other children at LR × BASE_LR_MULT.
cfg_default.OPTIM.STAGED_LR = False
cfg_default.OPTIM.NEW_LAYERS = ()
cfg_default.OPTIM.BASE_LR_MULT = 0.1
# single_step, multi_step or cosine; one step per epoch.
cfg_default.OPTIM.LR_SCHEDULER = "single_step"
# Epochs after which the rate falls: single_step reads the last entry (≤ 0: never), multi_step all.
cfg_default.OPTIM.STEPSIZE = (-1,)
# Factor of each fall.
cfg_default.OPTIM.GAMMA = 0.1
# Epochs to train.
cfg_default.OPTIM.MAX_EPOCH = 10
# Warm-up epochs before the schedule begins; ≤ 0 for none.
cfg_default.OPTIM.WARMUP_EPOCH = -1
# linear (rising from WARMUP_MIN_LR) or constant (at WARMUP_CONS_LR).
cfg_default.OPTIM.WARMUP_TYPE = "linear"
cfg_default.OPTIM.WARMUP_CONS_LR = 1e-5
cfg_default.OPTIM.WARMUP_MIN_LR = 1e-5
# The schedule starts at its own epoch 0 after the warm-up; False: as if the warm-up had been part of it.
cfg_default.OPTIM.WARMUP_RECOUNT = True

cfg_default.TRAIN = CN()
# Save a checkpoint every so many epochs; 0: after the last epoch only.
cfg_default.TRAIN.CHECKPOINT_FREQ = 0
# Print progress every so many batches, 1 or above.
cfg_default.TRAIN.PRINT_FREQ = 10
# Which loader's length is an epoch when two run in parallel: train_x, train_u or smaller_one.
cfg_default.TRAIN.COUNT_ITER = "train_x"

cfg_default.TEST = CN()
# Registered name of the evaluator.
cfg_default.TEST.EVALUATOR = "Classification"
# Also print the accuracy of each class.
cfg_default.TEST.PER_CLASS_RESULT = False
# Also save the confusion matrix, as cmat.pt.
cfg_default.TEST.COMPUTE_CMAT = False
# Train only, test never.
cfg_default.TEST.NO_TEST = False
# Images that `test()` takes: test or val.
cfg_default.TEST.SPLIT = "test"
# Model that is tested after training: last_step or best_val.
cfg_default.TEST.FINAL_MODEL = "last_step"

cfg_default.TRAINER = CN()
# Registered name of the trainer; a trainer adds a node of its own.
cfg_default.TRAINER.NAME = ""


def get_cfg_default() -> CN:
    """A fresh copy of the defaults."""
    return cfg_default.clone()


def clean_cfg(cfg: CN, trainer: str) -> None:
    """Delete the nodes of other trainers: of `cfg.TRAINER`, only NAME and `trainer` in upper case stay."""
    for key in list(cfg.TRAINER):
        if key not in ("NAME", trainer.upper()):
            del cfg.TRAINER[key]
