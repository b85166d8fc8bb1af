"""A torch device `npu` in host memory. A placeholder: it is not written yet."""
