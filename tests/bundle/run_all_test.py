#!/usr/bin/env python3
"""Runs run-all.sh of the GPU bundle in a folder made as the bundle is, and reads what it reports.

    run_all_test.py RUN_ALL TESTS BENCH DATA

TESTS and BENCH are the stand-in's programs; scripts in their place choose a few of their cases, which is all that a
machine without a GPU has the time for.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

RUN_ALL, TESTS, BENCH, DATA = sys.argv[1:]
SOME_TESTS = f'exec {TESTS} "$@" ${{GTEST_SHARD_INDEX:+--gtest_filter=gpu_pool_options.*:*a_later_codec*bf16_alone}}'
SOME_BENCH = f'exec {BENCH} --mib 1 "$@" --benchmark_filter=^copy'


class run_all(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "bin").mkdir()
        shutil.copy(RUN_ALL, self.folder)
        (self.folder / "data").mkdir()
        for split in pathlib.Path(DATA).iterdir():
            (self.folder / "data" / split.name).symlink_to(split)
        (self.folder / "data/reference").write_text("reference_fp8")

    def run_with(self, tests=SOME_TESTS, bench=SOME_BENCH, sanitizer=None, **environment):
        """The exit status, what was printed, and the report (None: there is none)."""
        programs = {"bin/test_gpu": tests, "bin/device_bench": bench}
        if sanitizer:
            programs["compute-sanitizer"] = sanitizer
        for name, script in programs.items():
            (self.folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
            (self.folder / name).chmod(0o755)
        ran = subprocess.run(
            [self.folder / "run-all.sh"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "SKV_GPU_BATCHES": "2", "PATH": f"{self.folder}:{os.environ['PATH']}",
                 **environment})
        report = self.folder / "results.json"
        return ran.returncode, ran.stdout, json.loads(report.read_text()) if report.exists() else None

    def test_reports_what_it_ran(self):
        status, output, report = self.run_with(
            sanitizer="echo '[       OK ] a.test (1 ms)'; [[ $2 != racecheck ]]")
        for step in ("tests", "far", "random"):
            self.assertEqual((report[step]["outcome"], report[step]["failed"]), ("ok", 0), output)
            self.assertGreater(report[step]["passed"], 0, output)
        self.assertEqual(report["bench"], "ok", output)
        self.assertEqual({tool: step["outcome"] for tool, step in report["sanitizer"].items()},
                         {"memcheck": "ok", "racecheck": "failed", "initcheck": "ok", "synccheck": "ok"})
        self.assertGreater(report["sanitizer"]["memcheck"]["passed"], 0)
        self.assertEqual(status, 1, "racecheck failed")
        ran = [suite for shard in report["test_reports"] for suite in shard["testsuites"]]
        self.assertTrue(ran and all(suite["failures"] == 0 for suite in ran))
        self.assertEqual(report["random_batches"], 2)
        names = [b["run_name"] for b in report["bench_report"]["benchmarks"]]
        self.assertTrue(any(name.startswith("copy/to_host") for name in names), names)

    def test_ends_with_0_if_all_went_well(self):
        status, output, _ = self.run_with(tests="exit 0", bench="exit 0", sanitizer="exit 0")
        self.assertEqual(status, 0, output)

    def test_a_test_that_fails(self):
        fails = "echo 'what failed'; exit $((${GTEST_SHARD_INDEX:-1} == 0))"
        status, output, report = self.run_with(tests=fails, bench="exit 0", sanitizer="exit 0")
        self.assertEqual((status, report["tests"]["outcome"], report["random"]["outcome"]), (1, "failed", "ok"))
        self.assertIn("what failed", output)

    def test_a_test_that_does_not_end(self):
        status, output, report = self.run_with(tests="echo '[       OK ] a.test (1 ms)'; exec sleep 60",
                                               bench="exit 0", sanitizer="exit 0", SKV_GPU_SECONDS="12")
        self.assertEqual(status, 1, output)
        self.assertRegex(report["tests"]["outcome"], "cut off after [0-9]+ s")
        self.assertGreater(report["tests"]["passed"], 0)
        self.assertLess(report["seconds"], 30)

    def test_a_benchmark_that_does_not_start(self):
        status, _, report = self.run_with(tests="exit 0", bench="exit 3", sanitizer="exit 0")
        self.assertEqual((status, report["bench"], report["bench_report"]), (1, "failed", None))

    @unittest.skipIf(shutil.which("compute-sanitizer", path=f"{os.environ['PATH']}:/usr/local/cuda/bin"),
                     "this host has compute-sanitizer")
    def test_a_host_without_sanitizer(self):
        status, _, report = self.run_with(tests="exit 0", bench="exit 0")
        self.assertEqual(status, 0)
        self.assertRegex(report["sanitizer"]["memcheck"]["outcome"], "^not run: ")

    def test_no_device(self):
        for why in (77, 78):
            status, output, report = self.run_with(bench=f"echo no device; exit {why}")
            self.assertEqual((status, output, report), (why, "no device\n", None))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
