#!/usr/bin/env bash
# Runs all that needs a GPU, in under eight minutes, and writes results.json beside this script: the tests,
# 10,000 random batches (or SKV_GPU_BATCHES), the benchmark, compute-sanitizer's tools where the host has them
# (on PATH or in /usr/local/cuda/bin). Nothing has to be installed but the driver. SKV_GPU_SECONDS is how long
# it may take, 450 if not given.
#
# Ends with 0 if all went well, with 1 if something failed or ran out of time, with 77 without a device, and
# with 78 if the driver is too old for what the bundle was built with; without a report in the last two cases.
#
#     run-all.sh [RESULTS.json]
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=$(realpath -m "${1:-$here/results.json}")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

batches=${SKV_GPU_BATCHES:-10000}
seconds=${SKV_GPU_SECONDS:-450}
# Most of a test's time is the host's.
processes=$(nproc)
((processes <= 16)) || processes=16
failed=0

# step PERCENT COMMAND...: within that share of all the time, and within what is left of it. Sets `outcome`.
step() {
    local limit=$((seconds * $1 / 100)) left=$((seconds - SECONDS)) status=0
    shift
    ((limit < left)) || limit=$left
    if ((limit < 2)); then
        outcome="not run: no time left"
        status=1
    else
        timeout --kill-after=5 "$limit" "$@" || status=$?
        case $status in
            0) outcome=ok ;;
            124 | 137) outcome="cut off after $limit s" ;;
            *) outcome=failed ;;
        esac
    fi
    ((status == 0)) || failed=1
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
# in_processes NAME RUN ARGUMENTS...: a command, shared among processes, each with a number of its own. Reports are
# NAME.*.json; a process that failed shows its messages, and so does one that is cut off.
in_processes() {
    local name=$1 run=$2 i pids=() status=0
    shift 2
    trap 'kill "${pids[@]}"; wait; messages "$name".*.log; exit 124' TERM
    for ((i = 0; i < processes; ++i)); do
        "$run" "$i" "$@" --gtest_output=json:"$name.$i.json" >"$name.$i.log" 2>&1 &
        pids+=($!)
    done
    for i in "${!pids[@]}"; do
        wait "${pids[i]}" || { status=1 && messages "$name.$i.log"; }
    done
    return $status
}
# What a log has beside the names of tests that went well.
messages() {
    grep -hvE '^\[( RUN      |       OK )\]' "$@"
}
run_shard() {
    GTEST_TOTAL_SHARDS=$processes GTEST_SHARD_INDEX=$1 exec "$here/bin/test_gpu" "${@:2}"
}
run_seed() {
    SKV_GPU_SEED=$(($1 + 1)) SKV_GPU_BATCHES=$(((batches + processes - 1) / processes)) \
        exec "$here/bin/test_gpu" "${@:2}"
}
# Every shard has tests of every kind; in random order, so that none of them always comes too late.
run_checked() {
    local options=()
    # Some tests provoke errors of the runtime, to see that they are reported.
    [[ $2 != memcheck ]] || options=(--report-api-errors no)
    GTEST_TOTAL_SHARDS=$processes GTEST_SHARD_INDEX=$1 SKV_GPU_BATCHES=3 SKV_GPU_EVERY=500 \
        exec "$sanitizer" --tool "$2" "${options[@]}" --error-exitcode 1 \
        "$here/bin/test_gpu" --gtest_shuffle --gtest_filter=-*far_apart* "${@:3}"
}
# described NAME: the outcome, with how many tests ended well or badly, also of what was cut off.
described() {
    local passed failures skipped
    passed=$(cat "$1".*.log 2>/dev/null | grep -c '^\[       OK \]')
    failures=$(cat "$1".*.log 2>/dev/null | grep -c '^\[  FAILED  \] .* ms)$')
    skipped=$(cat "$1".*.log 2>/dev/null | grep -c '^\[  SKIPPED \] .* ms)$')
    echo "{\"outcome\": \"$outcome\", \"passed\": $passed, \"failed\": $failures, \"skipped\": $skipped}"
}
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
export -f in_processes messages run_shard run_seed run_checked
export here processes batches sanitizer

# A line from the driver for people; the benchmark's context has what programs need.
gpu=$(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,clocks.max.mem,power.limit \
    --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '"\\')

found=$("$here/bin/device_bench" --benchmark_list_tests 2>&1)
status=$?
if ((status != 0)); then
    tail -n 1 <<<"$found"
    case $status in 77 | 78) exit $status ;; esac
    failed=1 # the tests may still run
fi
echo "GPU: ${gpu:-unknown to nvidia-smi}"

echo "Tests in $processes processes"
step 20 bash -c 'in_processes tests run_shard --gtest_filter=-gpu_random.*:*far_apart*'
tests=$(described tests)

echo "Tests that take 34 GB of the device's memory, in one process"
step 4 bash -c 'processes=1; in_processes far run_shard --gtest_filter=*far_apart*'
far=$(described far)

echo "$batches random batches in $processes processes"
step 10 bash -c 'in_processes random run_seed --gtest_filter=gpu_random.*'
random=$(described random)

echo "Benchmark"
step 34 "$here/bin/device_bench" --data "$here/data" \
    --reference "$(cat "$here/data/reference")" \
    --benchmark_out=bench.json --benchmark_out_format=json
bench=$outcome

# Of the time that is left, about a third, each gets its share.
tools=(memcheck racecheck initcheck synccheck)
checks=""
for i in "${!tools[@]}"; do
    tool=${tools[i]}
    outcome="not run: no compute-sanitizer on this host"
    if [[ -n $sanitizer ]]; then
        echo "compute-sanitizer --tool $tool in $processes processes"
        step $(((seconds - SECONDS) * 100 / seconds / (${#tools[@]} - i))) \
            bash -c "in_processes $tool run_checked $tool"
    fi
    checks+="${checks:+, }\"$tool\": $(described "$tool")"
done

reports=""
for ((i = 0; i < processes; ++i)); do
    reports+="${reports:+,
}$(content_of "tests.$i.json")"
done
{
    echo "{"
    echo "\"gpu\": \"$gpu\", \"date\": \"$(date -u +%FT%TZ)\", \"seconds\": $SECONDS,"
    echo "\"tests\": $tests, \"far\": $far, \"random_batches\": $batches, \"random\": $random,"
    echo "\"sanitizer\": {$checks}, \"bench\": \"$bench\","
    echo "\"test_reports\": [$reports],"
    echo "\"bench_report\": $(content_of bench.json)"
    echo "}"
} >"$work/results.json" && mv "$work/results.json" "$results" || exit 1
echo "tests: $tests; random batches: $random; benchmark: $bench; sanitizer: {$checks}"
echo "$results, after $SECONDS s"
exit $failed
