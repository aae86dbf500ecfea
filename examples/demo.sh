#!/usr/bin/env bash
# Builds the inference engine of the examples and runs it on the model that lies beside it: reads a prompt,
# compresses the KV cache layer by layer, drops it, restores it and continues, once for each prediction of the
# cache. Every bit and every token is compared with a run that never compressed; the last line says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/setup.sh

cmake --preset release
cmake --build --preset release --target skv_engine

# The model has learnt from the Python standard library; this code it has never seen.
build/release/examples/engine/skv_engine demo --model examples/tiny-model/model \
    --prompt-file examples/tiny-model/train.py --calibration examples/tiny-model/llama.py
