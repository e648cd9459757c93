"""A stand-in for your script: Lightning trains a small recurrent model on text that Python itself carries."""

import argparse
from pathlib import Path
from pydoc_data.topics import topics

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

CONTEXT, BATCH = 32, 16


class Model(lightning.LightningModule):
    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.embedding = nn.Embedding(128, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, 128)

    def loss(self, windows: Tensor) -> Tensor:
        states, _ = self.recurrent(self.embedding(windows[:, :-1]))
        return cross_entropy(self.head(states).flatten(0, 1), windows[:, 1:].flatten())

    def training_step(self, windows: Tensor, number: int) -> Tensor:
        return self.loss(windows)

    def validation_step(self, windows: Tensor, number: int) -> None:
        self.log("val_loss", self.loss(windows))

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()

    text = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", errors="replace")  # a token is a byte
    tokens = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    windows = tokens[: len(tokens) // (CONTEXT + 1) * (CONTEXT + 1)].view(-1, CONTEXT + 1)
    lightning.seed_everything(options.seed)
    trainer = lightning.Trainer(
        max_steps=options.steps,
        val_check_interval=options.steps // 6,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=CSVLogger(options.out, name="", version=""),
        callbacks=[ModelCheckpoint(options.out, every_n_train_steps=options.steps // 6, save_last=True)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = options.out / "last.ckpt"
    trainer.fit(
        Model(options.width, options.steps),
        DataLoader(windows[:-512], batch_size=BATCH, shuffle=True),
        DataLoader(windows[-512:], batch_size=128),
        ckpt_path=last if options.resume and last.exists() else None,
    )


if __name__ == "__main__":
    main()
