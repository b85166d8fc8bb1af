import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(16, classes)

    def forward(self, x):
        with torch.autocast("cuda", enabled=False):
            return self.layer(x)
