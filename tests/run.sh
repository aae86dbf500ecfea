#!/usr/bin/env bash
# Builds everything and runs every test. Ends with ctest's summary.
#
# With an nvcc of the release that cmake/cuda.cmake asks for, on PATH or in /usr/local/cuda/bin, that includes
# the CUDA kernels and what tests them without a GPU; tests that need a GPU are skipped where there is none. With
# CI=true warnings are errors; elsewhere they are not, as other compilers have other warnings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/setup.sh

# Prints an nvcc that is new enough, or why there is none.
find_nvcc() {
    local nvcc needed release
    needed=$(sed -n 's/^find_package(CUDAToolkit \([0-9.]*\) .*/\1/p' cmake/cuda.cmake)
    if ! nvcc=$(PATH=$PATH:/usr/local/cuda/bin command -v nvcc); then
        echo "there is no nvcc"
        return 1
    fi
    release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p')
    if [[ $(printf '%s\n' "$needed" "$release" | sort -V | head -n 1) != "$needed" ]]; then
        echo "$nvcc is of release ${release:-unknown}, not $needed or later"
        return 1
    fi
    echo "$nvcc"
}

# What counts the kernels' instructions (bench/sass_budget.py) needs nvdisasm. Without it, and without pip or
# a network, that test is skipped.
fetch_nvdisasm() {
    export PYTHONPATH=$PWD/build/tools${PYTHONPATH:+:$PYTHONPATH}
    python3 bench/sass_budget.py --tools >/dev/null ||
        python3 -m pip install --quiet --no-deps --target build/tools nvidia-cuda-nvdisasm==13.5.37 || true
} 2>/dev/null

if nvcc=$(find_nvcc); then
    cuda=(-DSKV_CUDA=ON -DCMAKE_CUDA_COMPILER="$nvcc")
    fetch_nvdisasm
else
    cuda=(-DSKV_CUDA=OFF)
    echo "Left out: the CUDA kernels, their C ABI, examples and benchmark, and the tests of these: $nvcc."
fi
cmake --preset release -DSKV_WARNINGS_AS_ERRORS="${CI:-OFF}" "${cuda[@]}"
cmake --build --preset release
if [[ ${cuda[0]} == -DSKV_CUDA=ON ]] && ! why=$(build/release/bench/device_bench --benchmark_list_tests); then
    echo "Tests that need a GPU are skipped: $why."
fi
exec ctest --preset release -j "$(nproc)"
