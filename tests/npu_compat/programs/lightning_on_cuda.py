"""A training with Lightning, written for cuda: its accelerator is asked for by name or found."""

import sys

import lightning.pytorch as lightning
import torch
from torch.utils.data import DataLoader, TensorDataset


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        self.trained_on = batch[0].device
        assert self.layer.weight.device == batch[0].device
        return self.layer(batch[0]).pow(2).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
torch.manual_seed(0)
model, data = Model(), DataLoader(TensorDataset(torch.randn(16, 4)), batch_size=4)
before = model.layer.weight.detach().clone()
trainer = lightning.Trainer(accelerator=sys.argv[1], devices=1, max_epochs=1, precision="16-mixed", **quiet)
trainer.fit(model, data)
assert not torch.equal(model.layer.weight.detach().cpu(), before)
choose = sys.modules["lightning.fabric.utilities.distributed"]._get_default_process_group_backend_for_device
print(f"on {model.trained_on} through {choose(trainer.strategy.root_device)}")
