#!/bin/sh
# Resolves requirements.lock for every platform and Python from 3.11 on. torch's own CUDA packages are left to pip,
# which takes them with torch's Linux wheel from PyPI and leaves them out with the CPU build.
set -eu
uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-header --output-file requirements.lock \
    $(printf -- '--no-emit-package %s ' cuda-bindings cuda-pathfinder cuda-toolkit triton \
        nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft \
        nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 \
        nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx)
