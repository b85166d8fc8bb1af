"""`import npu_compat` sends torch.cuda calls to the active accelerator. A placeholder: it is not written yet."""
