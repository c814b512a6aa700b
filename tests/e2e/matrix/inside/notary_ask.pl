#!/usr/bin/perl
# Ask a notary: notary_ask.pl HOST WORD [SECONDS]. With SECONDS it asks as fast as it can and counts wrong answers: a number that
# does not come after the one before.
use strict;
use warnings;
use IO::Socket::INET;

my ($host, $word, $seconds) = @ARGV;

sub answer {
    my $socket = IO::Socket::INET->new(PeerAddr => $host, PeerPort => 80, Timeout => 20) or die "no connection: $!";
    print {$socket} "$word\n";
    $socket->flush;
    my $said = <$socket>;
    return $said // die "the connection ended without an answer";
}

if (!$seconds) { print answer(); exit 0 }
my ($last, $wrong, $until) = (answer(), 0, time + $seconds);
while (time < $until) {
    my $number = answer();
    $wrong++ if $number != $last + 1;
    $last = $number;
}
print "wrong answers: $wrong\n";
