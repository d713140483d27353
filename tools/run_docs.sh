#!/bin/bash
# run_docs.sh FILE.md...: runs the commands of the documents, so that none is stale. A command is a line "$ ..." in a block
# fenced as ```console; what follows it there is its output, for the reader. Commands of a file share one folder.
root=$(cd "$(dirname "$0")/.." && pwd); export PATH=$root/${BUILD:-build}:$PATH
ran=0 failed=0
for file in "$@"; do
  folder=$(mktemp -d); ln -s "$root" "$folder/headrace"
  while IFS= read -r command; do
    ran=$((ran + 1))
    if ! (cd "$folder" && timeout 120 bash -o pipefail -c "$command") >"$folder/.log" 2>&1 </dev/null; then
      failed=$((failed + 1)); printf '%s: failed: %s\n' "$file" "$command"; tail -3 "$folder/.log"
    fi
  done < <(awk '/^```/ { inside = /^```console/ } inside && /^\$ / { print substr($0, 3) }' "$file")
  rm -rf "$folder"
done
echo "$ran commands ran, $failed failed"
[ $failed = 0 ] && [ $ran -gt 0 ]
