"""R-Drop in a loop in the style of timm's train.py: its optimizer, scheduler and weight averaging.

The lines that name `noise` or `rdrop_exp` are all that it adds to the loop.

python examples/timm_loop.py
"""

import timm
import timm.optim
import timm.scheduler
import timm.utils
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import rdrop_exp

torch.manual_seed(0)
x, y = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
images = x.float().view(-1, 1, 8, 8) / 16
loader = DataLoader(TensorDataset(images[:1297], y[:1297]), batch_size=128, shuffle=True, drop_last=True)
small = {"img_size": 8, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
model = timm.create_model("vit_tiny_patch16_224", in_chans=1, num_classes=10, **small)
epochs, updates = 3, len(loader)
optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=3e-3)
scheduler, _ = timm.scheduler.create_scheduler_v2(optimizer, num_epochs=epochs, warmup_epochs=0)
noise = rdrop_exp.install_noise(model, dropout=0.1, drop_path=0.1, example=images[:3])  # before the averaged copy
model_ema = timm.utils.ModelEmaV3(model, decay=0.9)

for epoch in range(epochs):
    losses = timm.utils.AverageMeter()
    for index, (batch, target) in enumerate(loader):
        noise.step(epoch * updates + index)
        loss = rdrop_exp.rdrop_loss(model(noise.repeat(batch)), target, alpha=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model_ema.update(model)
        losses.update(loss.item(), len(batch))
    scheduler.step(epoch + 1)
    print(f"epoch {epoch} loss {losses.avg:.3f}")

accuracy = (model_ema.module.eval()(images[1297:]).argmax(1) == y[1297:]).float().mean()
print(f"test accuracy {accuracy:.1%}")
