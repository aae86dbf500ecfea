#!/usr/bin/env bash
# Builds the program and compresses a real KV cache (tests/data/tiny) with several predictions of it.
# Restores every file and compares every byte; the last line says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/setup.sh

cmake --preset release
cmake --build --preset release --target skv

skv=build/release/skv
data=tests/data/tiny
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One line of the table: a cache, a prediction of it ("-" for none), and what the prediction is.
restore() {
    local target=$1 reference=$2 what=$3 tensors file
    local calibrate=() using=()
    if [[ $reference != - ]]; then
        calibrate=(--reference "$data/calibration/$reference")
    else
        calibrate=(--predictor previous_token)
    fi
    "$skv" calibrate --target "$data/calibration/$target" "${calibrate[@]}" -o "$scratch/p.skvp" >"$scratch/log"
    for file in "$data/evaluation/$target"/*.safetensors; do
        [[ $reference == - ]] || using=(--reference "$data/evaluation/$reference/${file##*/}")
        "$skv" compress "$file" "${using[@]}" --profile "$scratch/p.skvp" -o "$scratch/x.skv" >"$scratch/log"
        "$skv" decompress "$scratch/x.skv" "${using[@]}" --profile "$scratch/p.skvp" \
            -o "$scratch/y.safetensors" >"$scratch/log"
        cmp "$file" "$scratch/y.safetensors"
        "$skv" inspect --json "$scratch/x.skv" | python3 -c "
import json, sys
f = json.load(sys.stdin)
print('%-6s %-44s %8d -> %6d bytes  %5.2fx' % (
    f['format'], '$what', f['source_bytes'], f['file_bytes'], f['ratio']))
open('$scratch/tokens', 'w').write(str(f['tokens']))"
    done
}

echo
echo "cache  prediction                                     original -> compressed"
restore target - "the token before: no second model"
restore target reference_fp8 "fp8 copy of the model"
restore target reference_fp8_exactkv "fp8 copy, K and V projections exact"
restore target_e4m3 - "the token before: no second model"
restore target_e4m3 reference_fp8_for_e4m3 "fp8 copy of the model"
echo "restored: identical ($(cat "$scratch/tokens") tokens)"
