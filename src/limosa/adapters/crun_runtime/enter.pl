#!/usr/bin/perl
# What conmon starts as "the runtime": become crun in the container's cgroups. In Perl, for the perl-base that every Debian
# has starts in 2 ms and makes system calls, where a shell needs three more programs (docs/adr/0015).
#   LIMOSA_TOLD     not empty: descriptor 3 is a pipe that says, a line each, the groups' files and then when to go on:
#                   what crun needs is not there yet. If it ends before, limosa has given up, or is dead
#   LIMOSA_PROCS    without it: the groups' files to write oneself into, separated by spaces
#   LIMOSA_HIDE     a mount that crun must not see (cgroup v2 of a hybrid layout, which it refuses); may be empty
#   LIMOSA_PRIVATE  not empty: make a container whose mounts get nothing from the host's and have no peers there: where
#                   systemd shares all mounts, those from outside would be slaves of one, and CRIU could not make that again
#   LIMOSA_STDIN    "none": standard input is a pipe at its end, never a device of the host, whose owner crun would change
#   LIMOSA_CALLS    the numbers of unshare(2), mount(2) and clone3(2) here
#   LIMOSA_CRUN     the program to become
my ($unshare, $mount, $clone3) = map { $_ + 0 } split / /, $ENV{LIMOSA_CALLS};

sub failed { print STDERR "limosa: $_[0]: $!\n"; exit 125 }

sub told {
    my $line = readline($pipe);
    exit 125 unless defined $line;
    chomp $line;
    return $line;
}

# A process that moves into a v2 group by cgroup.procs waits for a grace period, and so does every fork and exec on the
# machine meanwhile. One that is born there waits for nobody, so crun is a child, and this process passes its end on.
sub born_in {
    my $group = shift;
    sysopen(my $directory, $group, 0200000) or failed($group);    # O_DIRECTORY
    my ($into_cgroup, $sigchld) = (0x200000000, 17);
    my $arguments = pack('Q11', $into_cgroup, 0, 0, 0, $sigchld, 0, 0, 0, 0, 0, fileno($directory));
    my $child = syscall($clone3, $arguments, length $arguments);
    failed($group) if $child < 0;
    return if $child == 0;
    close(STDIN);
    waitpid($child, 0);
    exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
}

sub enter {
    my @moves = grep { !m{/cgroup\.procs$} } @_;
    for my $file (grep { m{/cgroup\.procs$} } @_) {
        born_in($file =~ s{/[^/]+$}{}r);
    }
    for my $file (@moves) {    # v1 lets a thread move itself without a wait
        open(my $group, '>', $file) or failed($file);
        defined syswrite($group, '0') or failed($file);
    }
}

if ($ENV{LIMOSA_TOLD}) {
    open($pipe, '<&=', 3) or failed('the pipe');
    delete $ENV{LISTEN_FDS};    # crun would hand the pipe on
    enter(split / /, told());
    told();
    close($pipe);
}
else {
    enter(split / /, $ENV{LIMOSA_PROCS});
}
if ($ENV{LIMOSA_STDIN} eq 'none') {
    pipe(my $empty, my $end) or failed('pipe');
    open(STDIN, '<&', $empty) or failed('standard input');
}
my ($root, $nothing, $hidden, $above) = ('/', 'none', $ENV{LIMOSA_HIDE}, $ENV{LIMOSA_HIDE});
if ($hidden or $ENV{LIMOSA_PRIVATE}) {
    syscall($unshare, 0x20000) == 0 or failed('unshare');                                    # CLONE_NEWNS
    syscall($mount, $nothing, $root, 0, 0x44000, 0) == 0 or failed('mounts stay shared');    # MS_REC | MS_PRIVATE
}
if ($hidden) {
    # Covered by what is above it: taking a mount away would wait for a grace period.
    $above =~ s{/[^/]+$}{};
    syscall($mount, $above, $hidden, 0, 0x1000, 0) == 0 or failed($hidden);                  # MS_BIND
}
exec { $ENV{LIMOSA_CRUN} } $ENV{LIMOSA_CRUN}, @ARGV or failed($ENV{LIMOSA_CRUN});
