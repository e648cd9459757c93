"""nanoGPT's train.py with a seed: python my_study_trainer.py SEED OPTIONS_OF_TRAIN_PY, in the folder of nanoGPT."""

import runpy
import sys

import torch

seed, of_torch = int(sys.argv.pop(1)), torch.manual_seed
torch.manual_seed = lambda number: of_torch(number + seed)  # train.py sets 1337 itself, and has no option for it
sys.path.insert(0, ".")  # train.py imports model.py beside it
runpy.run_path("train.py", run_name="__main__")
