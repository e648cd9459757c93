"""A stand-in for your script: transformers.Trainer trains a tiny GPT-2 on text that Python itself carries."""

import argparse
from pathlib import Path
from pydoc_data.topics import topics

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

CONTEXT, BATCH = 32, 16

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, required=True)
parser.add_argument("--steps", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--resume", action="store_true")
options = parser.parse_args()

text = "\n".join(topics[name] for name in sorted(topics)).encode("ascii", errors="replace")  # a token is a byte
windows = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()[: len(text) // CONTEXT * CONTEXT]
rows = [{"input_ids": window, "labels": window} for window in windows.view(-1, CONTEXT)]
train, validation = rows[:-512], rows[-512:]

torch.manual_seed(options.seed)
shape = GPT2Config(
    vocab_size=128,
    n_positions=CONTEXT,
    n_embd=options.width,
    n_layer=2,
    n_head=2,
    resid_pdrop=0.0,
    embd_pdrop=0.0,
    attn_pdrop=0.0,
    bos_token_id=0,
    eos_token_id=0,
)
trainer = Trainer(
    model=GPT2LMHeadModel(shape),
    args=TrainingArguments(
        output_dir=str(options.out),
        max_steps=options.steps,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=128,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        warmup_steps=options.steps // 10,
        eval_strategy="steps",
        eval_steps=options.steps // 6,
        save_steps=options.steps // 6,
        logging_steps=options.steps // 6,
        save_total_limit=2,
        seed=options.seed,
        report_to="none",
        disable_tqdm=True,
    ),
    train_dataset=train,
    eval_dataset=validation,
)
# A checkpoint that was being written when the run was killed has no trainer_state.json: the Trainer writes it last.
whole = sorted(options.out.glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
trainer.train(resume_from_checkpoint=str(whole[-1].parent) if options.resume and whole else None)
trainer.save_state()
