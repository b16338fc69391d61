#!/bin/bash
# The guest's end of the control channel of the machine driver; test/vm/agent.ts is the other end and documents the frames.
# It comes in on a read-only disk, never as part of an image; the test addon's command line carries its SHA-256.
port=/dev/virtio-ports/org.secai.test
dir=/run/secai-test
mkdir -m 0700 $dir; cd $dir || exit 1
until [ -e $port ]; do sleep 0.1; done
# One open for all: the kernel lets a port be opened once.
exec 3<>$port

# answer ID STATUS: one whole frame at a time, so that concurrent commands cannot interleave.
answer() {
  {
    flock 9
    printf 'DONE %s %s %s %s\n' "$1" "$2" "$(stat -c %s "$1.out")" "$(stat -c %s "$1.err")" >&3
    cat "$1.out" "$1.err" >&3
  } 9>lock
  rm -f "$1".*
}

# The command writes its own status: without one it was ended because its time was over (999).
execute() {
  timeout -k 2 "$2" bash -c 'bash "$0.cmd"; echo $? >"$0.rc"' "$1" <"$1.in" >"$1.out" 2>"$1.err" 3>&-
  answer "$1" "$(cat "$1.rc" 2>/dev/null || echo 999)"
}

printf 'HELLO %s\n' "$(cat /proc/sys/kernel/random/boot_id)" >&3
while :; do
  # A read from a port whose other end is closed returns at once with nothing.
  if ! read -r verb id limit size input <&3; then
    sleep 0.1
    continue
  fi
  [ "$verb" = RUN ] || continue
  head -c "$size" <&3 >"$id.cmd"
  head -c "$input" <&3 >"$id.in"
  execute "$id" "$limit" &
done
