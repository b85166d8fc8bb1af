"""The third-party packages that a tree imports: what each calls of CUDA, found in its source without importing it."""
