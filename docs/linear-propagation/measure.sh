#!/usr/bin/env bash
# Fits linear propagation to the calibration caches of a folder and measures it on its evaluation caches:
# what docs/linear-propagation.md reports, as JSON of `skv calibrate` and `skv evaluate`.
#
#     measure.sh SKV DATA EMBEDDING OUT [DRAFTS]
#
# DATA has calibration/ and evaluation/ with target, target_e4m3 and the references; EMBEDDING is
# FILE[:TENSOR]; DRAFTS has calibration/ and evaluation/ of a smaller model's caches. Writes OUT/*.json.
set -euo pipefail
skv=$1 data=$2 embedding=$3 out=$4 drafts=${5:-}
mkdir -p "$out"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# NAME TARGET REFERENCE(- for none) OPTIONS OF CALIBRATE...
measure() {
  local name=$1 target=$2 reference=$3
  shift 3
  [ -s "$out/$name.json" ] && return
  local fit=(--target "$data/calibration/$target") with=(--target "$data/evaluation/$target")
  if [ "$reference" != - ]; then
    fit+=(--reference "$data/calibration/$reference")
    with+=(--reference "$data/evaluation/$reference")
  fi
  while [ $# -gt 0 ]; do
    case $1 in
      embedding) fit+=(--embedding "$embedding") with+=(--embedding "$embedding") ;;
      draft) fit+=(--draft "$drafts/calibration") with+=(--draft "$drafts/evaluation") ;;
      *) fit+=("$1") ;;
    esac
    shift
  done
  "$skv" calibrate "${fit[@]}" -o "$scratch/p.skvp" --json > "$out/$name.calibrate.json"
  "$skv" evaluate "${with[@]}" --profile "$scratch/p.skvp" --json > "$scratch/$name.json"
  mv "$scratch/$name.json" "$out/$name.json"
  echo "$name $(grep -m1 bits_per_scalar "$out/$name.json")"
}

linear=(--linear --rope half:10000)
for case in none:target:- fp8:target:reference_fp8 fp8_exactkv:target:reference_fp8_exactkv \
  int8_exactkv:target:reference_int8_exactkv e4m3_fp8:target_e4m3:reference_fp8_for_e4m3 \
  e4m3_fp8_exactkv:target_e4m3:reference_fp8_exactkv_for_e4m3; do
  IFS=: read -r name target reference <<< "$case"
  measure "$name" "$target" "$reference"
  measure "$name.linear" "$target" "$reference" "${linear[@]}"
  measure "$name.embedding" "$target" "$reference" "${linear[@]}" embedding
done
for case in none:target:- fp8:target:reference_fp8; do
  IFS=: read -r name target reference <<< "$case"
  measure "$name.still" "$target" "$reference" --linear
  measure "$name.rank64" "$target" "$reference" "${linear[@]}" --rank 64
  measure "$name.rank32" "$target" "$reference" "${linear[@]}" --rank 32
  measure "$name.shards2" "$target" "$reference" "${linear[@]}" --shards 2
  measure "$name.restart2" "$target" "$reference" "${linear[@]}" --restart-every 2
  measure "$name.restart3" "$target" "$reference" "${linear[@]}" --restart-every 3
  measure "$name.restart3.embedding" "$target" "$reference" "${linear[@]}" --restart-every 3 embedding
  if [ -n "$drafts" ]; then
    measure "$name.draft" "$target" "$reference" "${linear[@]}" draft
    measure "$name.embedding.draft" "$target" "$reference" "${linear[@]}" embedding draft
  fi
done
