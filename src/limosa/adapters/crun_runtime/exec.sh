#!/bin/sh
# What conmon starts as "the runtime" of a restore: become the command of LIMOSA_ARGV (one argument a line), with the
# container's standard streams as 0..2 and the connection to limosa as 3. Of conmon's own arguments only the socket
# where it takes a terminal's master is needed: its path is left in the file LIMOSA_CONSOLE.
if [ -n "$LIMOSA_CONSOLE" ]; then
    before=
    for word; do
        [ "$before" != --console-socket ] || printf '%s\n' "$word" >"$LIMOSA_CONSOLE"
        before=$word
    done
fi
IFS='
'
set -f
exec $LIMOSA_ARGV
