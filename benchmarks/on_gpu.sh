#!/usr/bin/env bash
# Everything about attnlab that needs a GPU, in at most eight minutes, into one JSON file.
#
#   benchmarks/on_gpu.sh OUTPUT.json [options of benchmarks/on_gpu.py]
#   benchmarks/on_gpu.sh OUTPUT.json --tiny         without a GPU: all parts on the CPU, at a tiny size
#
# Needs torch 2.11 or later, torchvision, and this repository. What else a bare machine lacks lies as wheels in a folder (WHEELS,
# else ../wheels beside the repository, else ./wheels), and is installed from there alone. docs/gpu.md says how to fill it.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:?name the JSON file to write}
shift
for wheels in "${WHEELS:-}" ../wheels wheels; do
  if [[ -n $wheels && -d $wheels ]]; then
    python -m pip install --quiet --no-index --no-deps "$wheels"/*.whl
    break
  fi
done
exec python -m benchmarks.on_gpu "$output" "$@"
