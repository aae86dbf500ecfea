#!/usr/bin/env bash
# Runs all that needs a GPU, in under eight minutes, and writes results.json beside this script: the tests,
# 10,000 random batches (or SKV_GPU_BATCHES), the benchmark, compute-sanitizer's tools where the host has
# them. Nothing has to be installed but the driver. Ends with 0 if all went well, 1 if something failed, 77
# without a device.
#
#     run-all.sh [RESULTS.json]
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=${1:-$here/results.json}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work"

batches=${SKV_GPU_BATCHES:-10000}
seconds_left() { echo $((450 - SECONDS)); }
failed=0

# step SECONDS COMMAND...: within what time is left. Sets `outcome`.
step() {
    local limit=$1 status=0
    shift
    ((limit < $(seconds_left))) || limit=$(seconds_left)
    if ((limit < 5)); then
        outcome="no time left"
    else
        timeout --kill-after=5 "$limit" "$@" || status=$?
        case $status in
            0) outcome=ok ;;
            124 | 137) outcome="timed out" ;;
            *) outcome=failed ;;
        esac
    fi
    [[ $outcome == ok ]] || failed=1
}
# A report, or null. One that was cut off, as by the end of the time, is closed after its last whole entry.
content_of() {
    local last
    if [[ ! -s $1 ]]; then
        echo null
    elif [[ $(tail -n 1 "$1") == "}" ]]; then
        cat "$1"
    elif last=$(grep -n '^    }' "$1" | tail -n 1) && [[ -n $last ]]; then
        head -n "${last%%:*}" "$1" | sed '$s/,$//'
        printf '\n  ]\n}\n'
    else
        echo null
    fi
}

# A line from the driver for people; the benchmark's context has what programs need.
gpu=$(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit \
    --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '"\\')

found=$("$here/bin/device_bench" --benchmark_list_tests 2>&1)
status=$?
if ((status != 0)); then
    tail -n 1 <<<"$found"
    ((status != 77)) || exit 77
    failed=1 # the tests may still run
fi
echo "GPU: ${gpu:-unknown to nvidia-smi}"

echo "Tests"
step 90 "$here/bin/test_gpu" --gtest_filter=-gpu_random.* --gtest_brief=1 --gtest_output=json:tests.json
tests=$outcome

# Most of their time is the host's: as many processes as there are processors, each with its own seeds.
processes=$(nproc)
((processes <= 16)) || processes=16
echo "$batches random batches in $processes processes"
random_batches() {
    local i pids=() status=0
    for ((i = 1; i <= processes; ++i)); do
        SKV_GPU_SEED=$i SKV_GPU_BATCHES=$(((batches + processes - 1) / processes)) \
            "$here/bin/test_gpu" --gtest_filter=gpu_random.* --gtest_brief=1 >"random.$i" 2>&1 &
        pids+=($!)
    done
    for i in "${!pids[@]}"; do
        wait "${pids[i]}" || { status=1 && cat "random.$((i + 1))"; }
    done
    return $status
}
export -f random_batches
export here processes batches
step 150 bash -c random_batches
random=$outcome

echo "Benchmark"
step 200 "$here/bin/device_bench" --data "$here/data" \
    --reference "$(cat "$here/data/reference")" \
    --benchmark_out=bench.json --benchmark_out_format=json
bench=$outcome

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
checks=""
for tool in memcheck racecheck initcheck synccheck; do
    outcome="not on this host"
    if [[ -n $sanitizer ]]; then
        echo "compute-sanitizer --tool $tool"
        SKV_GPU_BATCHES=3 step 60 "$sanitizer" --tool "$tool" --error-exitcode 1 \
            "$here/bin/test_gpu" --gtest_brief=1 \
            --gtest_filter='*writes_the_cpu*bf16_given_bf16:*e4m3_alone:*compacting*bf16_given_bf16:*linear.makes*bf16_alone*:gpu_random.*'
    fi
    checks+="${checks:+, }\"$tool\": \"$outcome\""
done

{
    echo "{"
    echo "\"gpu\": \"$gpu\", \"date\": \"$(date -u +%FT%TZ)\", \"seconds\": $SECONDS,"
    echo "\"tests\": \"$tests\", \"random_batches\": $batches, \"random\": \"$random\","
    echo "\"sanitizer\": {$checks}, \"bench\": \"$bench\","
    echo "\"test_report\": $(content_of tests.json),"
    echo "\"bench_report\": $(content_of bench.json)"
    echo "}"
} >"$work/results.json" && mv "$work/results.json" "$results" || exit 1
echo "tests: $tests; random batches: $random; benchmark: $bench; sanitizer: {$checks}"
echo "$results, after $SECONDS s"
exit $failed
