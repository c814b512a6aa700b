#!/bin/sh
# What conmon starts when a container's first process has ended: exited.sh DIRECTORY COMMAND…
# A command that watches the container (it holds a lock on `watchers`) sees to the end itself. So wait for that, two seconds
# at most, and start limosa only if there is a container left: two Pythons at work on one end cost twice the time.
directory=$1
shift
if [ -e "$directory/watchers" ]; then
    { flock --timeout 2 9; } 2>/dev/null 9<"$directory/watchers"
fi
[ -d "$directory" ] || exit 0
exec "$@"
