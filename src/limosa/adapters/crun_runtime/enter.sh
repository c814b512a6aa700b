#!/bin/sh
# What conmon starts as "the runtime": join the container's cgroups, then become crun.
#   LIMOSA_PROCS  cgroup.procs files, separated by spaces
#   LIMOSA_HIDE   a mount that crun must not see (cgroup v2 of a hybrid layout, which it refuses); may be empty
#   LIMOSA_PRIVATE  not empty: make a container whose mounts get nothing from the host's and have no peers there: where
#                 systemd shares all mounts, those from outside would be slaves of one, and CRIU could not make that again
#   LIMOSA_STDIN  "none": standard input is a pipe at its end, never a device of the host, whose owner crun would change
#   LIMOSA_CRUN   the program to become
for file in $LIMOSA_PROCS; do
    echo 0 >"$file" || exit 125
done
run() {
    if [ -n "$LIMOSA_HIDE" ]; then
        exec unshare --mount --propagation private -- \
            /bin/sh -c 'umount "$LIMOSA_HIDE" && exec "$LIMOSA_CRUN" "$@"' crun "$@"
    fi
    if [ -n "$LIMOSA_PRIVATE" ]; then
        exec unshare --mount --propagation private -- "$LIMOSA_CRUN" "$@"
    fi
    exec "$LIMOSA_CRUN" "$@"
}
if [ "$LIMOSA_STDIN" = none ]; then
    : | run "$@"
    exit $?
fi
run "$@"
