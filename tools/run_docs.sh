#!/bin/bash
# run_docs.sh FILE.md...: runs the commands of the documents and holds their output to what is printed there, so that none is stale. A
# command is a line "$ ..." in a block fenced as ```console; what follows it there is its output: spaces and ends of lines aside the same,
# "..." standing for anything; in a block fenced as ```console measured any number stands for any other. Nothing after a command: not
# compared. Commands of a file share one folder.
root=$(cd "$(dirname "$0")/.." && pwd); export PATH=$root/${BUILD:-build}:$PATH
ran=0 failed=0 held=0

# A glob of the printed output: what is special there quoted, wildcards in.
pattern() {                                       # measured?
  sed 's/^\.\.\.$/\a/' | tr -d ' \t\n' | sed -e 's/[][\\*?!()+@|]/\\&/g' -e 's/\.\.\./*/g' -e 's/\a/*/g' -e "$([ "$1" = 1 ] && echo 's/[0-9][0-9.]*\(e[+-][0-9]*\)\{0,1\}/*/g')"
}
check() {                                         # file, measured?, command, printed output
  ran=$((ran + 1))
  if ! (cd "$folder" && timeout 120 bash -o pipefail -c "$3") >"$folder/.log" 2>&1 </dev/null; then
    failed=$((failed + 1)); printf '%s: failed: %s\n' "$1" "$3"; tail -3 "$folder/.log"
    return
  fi
  [ -n "${4//[[:space:]]/}" ] || return
  held=$((held + 1))
  local want found
  want=$(pattern "$2" <<<"$4"); found=$(tr -d ' \t\n' <"$folder/.log")
  # shellcheck disable=SC2053                     # a pattern, on purpose
  if [[ $found != $want ]]; then
    failed=$((failed + 1)); printf '%s: other output: %s\nprinted:\n%sfound:\n' "$1" "$3" "$4"; head -c 2000 "$folder/.log"
  fi
}
for file in "$@"; do
  folder=$(mktemp -d); ln -s "$root/recipes" "$folder/recipes"
  command='' printed='' measured=0 inside=0
  end() { [ -z "$command" ] || check "$file" "$measured" "$command" "$printed"; command='' printed=''; }
  while IFS= read -r line <&3; do
    case $line in
      '```'*) end
              case $line in '```console measured') inside=1 measured=1 ;; '```console') inside=1 measured=0 ;; *) inside=0 ;; esac ;;
      '$ '*) [ $inside = 0 ] || { end; command=${line:2}; } ;;
      *) [ $inside = 0 ] || printed+=$line$'\n' ;;
    esac
  done 3<"$file"
  end
  rm -rf "$folder"
done
echo "$ran commands ran, the output of $held was compared, $failed failed"
[ $failed = 0 ] && [ $ran -gt 0 ]
