"""The CuPy backend: fused kernels as CUDA C, run on a GPU."""
