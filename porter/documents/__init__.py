"""One kind of file a module: `port`, bytes in and ported bytes out, and `mentions`, why lines that name CUDA stay."""
