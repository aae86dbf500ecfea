#!/usr/bin/env bash
# Builds everything and runs every test. Ends with ctest's summary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source cmake/setup.sh

cmake --preset release -DSKV_WARNINGS_AS_ERRORS=ON
cmake --build --preset release
exec ctest --preset release -j "$(nproc)"
