#!/usr/bin/perl
# What conmon starts as "the runtime": join the container's cgroups, then become crun. In Perl, for the perl-base that
# every Debian has starts in 2 ms and makes system calls, where a shell needs three more programs (docs/adr/0015).
#   LIMOSA_TOLD     not empty: descriptor 3 is a pipe that says, a line each, the groups' files and then when to go on:
#                   what crun needs is not there yet. If it ends before, limosa has given up, or is dead
#   LIMOSA_PROCS    without it: the groups' files to write oneself into, separated by spaces
#   LIMOSA_HIDE     a mount that crun must not see (cgroup v2 of a hybrid layout, which it refuses); may be empty
#   LIMOSA_PRIVATE  not empty: make a container whose mounts get nothing from the host's and have no peers there: where
#                   systemd shares all mounts, those from outside would be slaves of one, and CRIU could not make that again
#   LIMOSA_STDIN    "none": standard input is a pipe at its end, never a device of the host, whose owner crun would change
#   LIMOSA_CALLS    the numbers of unshare(2) and mount(2) here
#   LIMOSA_CRUN     the program to become

sub failed { print STDERR "limosa: $_[0]: $!\n"; exit 125 }

sub told {
    my $line = readline($pipe);
    exit 125 unless defined $line;
    chomp $line;
    return $line;
}

my $groups = $ENV{LIMOSA_PROCS};
if ($ENV{LIMOSA_TOLD}) {
    open($pipe, '<&=', 3) or failed('the pipe');
    delete $ENV{LISTEN_FDS};    # crun would hand the pipe on
    $groups = told();
}
for my $file (split / /, $groups) {
    open(my $group, '>', $file) or failed($file);
    defined syswrite($group, '0') or failed($file);
}
if ($pipe) {
    told();
    close($pipe);
}
if ($ENV{LIMOSA_STDIN} eq 'none') {
    pipe(my $empty, my $end) or failed('pipe');
    open(STDIN, '<&', $empty) or failed('standard input');
}
my ($unshare, $mount) = split / /, $ENV{LIMOSA_CALLS};
my ($root, $nothing, $hidden, $above) = ('/', 'none', $ENV{LIMOSA_HIDE}, $ENV{LIMOSA_HIDE});
if ($hidden or $ENV{LIMOSA_PRIVATE}) {
    syscall($unshare, 0x20000) == 0 or failed('unshare');                             # CLONE_NEWNS
    syscall($mount, $nothing, $root, 0, 0x44000, 0) == 0 or failed('mounts stay shared');    # MS_REC | MS_PRIVATE
}
if ($hidden) {
    # Covered by what is above it: taking a mount away would wait for a grace period.
    $above =~ s{/[^/]+$}{};
    syscall($mount, $above, $hidden, 0, 0x1000, 0) == 0 or failed($hidden);           # MS_BIND
}
exec { $ENV{LIMOSA_CRUN} } $ENV{LIMOSA_CRUN}, @ARGV or failed($ENV{LIMOSA_CRUN});
