#!/usr/bin/env bash
# Builds the program, compresses the small caches of tests/data/tiny, restores them and compares every
# byte.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/setup.sh

cmake --preset release
cmake --build --preset release --target skv

skv=build/release/skv
data=tests/data/tiny
variant=reference
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$skv" calibrate --target "$data/calibration/target" --reference "$data/calibration/$variant" \
    --output "$scratch/tiny.skvp"

tokens=0
for cache in "$data"/evaluation/target/*.safetensors; do
    name=$(basename "$cache" .safetensors)
    reference=$data/evaluation/$variant/$name.safetensors
    "$skv" compress --profile "$scratch/tiny.skvp" --reference "$reference" "$cache" "$scratch/$name.skv"
    "$skv" decompress --profile "$scratch/tiny.skvp" --reference "$reference" "$scratch/$name.skv" \
        "$scratch/$name.safetensors"
    cmp "$cache" "$scratch/$name.safetensors"
    n=$("$skv" inspect --json "$scratch/$name.skv" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["tokens"])')
    tokens=$((tokens + n))
done

((tokens > 0))
echo "restored: identical ($tokens tokens)"
