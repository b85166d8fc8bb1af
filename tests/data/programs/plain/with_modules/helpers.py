import torch

DEVICE = torch.device("cuda")


def on_device(tensor):
    assert torch.cuda.is_available()
    return tensor.cuda()
