"""R-Drop in Hugging Face's Trainer, by `compute_loss`, on toy sentences.

`RDropTrainer` is all that it adds.

python examples/hugging_face_trainer.py         (needs transformers and accelerate)
"""

import tempfile
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import rdrop_exp


class RDropTrainer(Trainer):
    def __init__(self, *args: Any, alpha: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.alpha, self.noise = alpha, rdrop_exp.install_noise(self.model, dropout=0.1)
        self.model_accepts_loss_kwargs = False  # the loss is a mean of its micro-batch: Trainer divides by their number
        self.began = -1

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, **more)
        if self.began != self.state.global_step:  # once for all micro-batches of a step
            self.began = self.state.global_step
            self.noise.step(self.began)
        labels = inputs.pop("labels")
        outputs = model(**self.noise.repeat(inputs))
        loss = rdrop_exp.rdrop_loss(outputs.logits, labels, alpha=self.alpha)
        return (loss, outputs) if return_outputs else loss


torch.manual_seed(0)
tokens = torch.randint(2, 30, (512, 12))
examples = [{"input_ids": t, "attention_mask": torch.ones_like(t), "labels": (t < 8).any().long()} for t in tokens]
config = BertConfig(
    vocab_size=30, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, num_labels=2
)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, max_steps=60, per_device_train_batch_size=32, learning_rate=3e-3, use_cpu=True, report_to=[],
        disable_tqdm=True, save_strategy="no", logging_steps=20, dataloader_pin_memory=False,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    trainer = RDropTrainer(model, arguments, train_dataset=examples[:448], eval_dataset=examples[448:], alpha=0.5)
    trainer.train()
    print(f"test loss {trainer.evaluate()['eval_loss']:.3f}")
