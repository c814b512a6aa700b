#!/bin/sh
# What conmon starts as "the runtime" of a restore: become the command of LIMOSA_ARGV (one argument a line), with the
# container's standard streams as 0..2 and the connection to limosa as 3. conmon's own arguments are not needed.
IFS='
'
set -f
exec $LIMOSA_ARGV
