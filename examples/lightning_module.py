"""R-Drop in a Lightning module, on scikit-learn's digits.

The lines that name `noise` or `rdrop_exp` are all that it adds to the module.

python examples/lightning_module.py             (needs lightning)
"""

from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch.nn import Dropout, Linear, ReLU, Sequential
from torch.utils.data import DataLoader, TensorDataset

import rdrop_exp


class Classifier(lightning.LightningModule):
    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        self.alpha = alpha
        self.model = Sequential(Linear(64, 128), ReLU(), Dropout(), Linear(128, 10))
        self.noise = rdrop_exp.install_noise(self.model, dropout=0.2)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        x, y = batch
        self.noise.step(self.global_step)
        return rdrop_exp.rdrop_loss(self.model(self.noise.repeat(x)), y, alpha=self.alpha)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


torch.manual_seed(0)
x, y = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
x = x.float() / 16
loader = DataLoader(TensorDataset(x[:1297], y[:1297]), batch_size=128, shuffle=True)
classifier = Classifier()
trainer = lightning.Trainer(
    max_epochs=8, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
)
trainer.fit(classifier, loader)
accuracy = (classifier.model.eval()(x[1297:]).argmax(1) == y[1297:]).float().mean()
print(f"test accuracy {accuracy:.1%}")
