#!/usr/bin/perl
# A service of a system container: it numbers requests, in its memory and in a file. "count" answers with the next number,
# "look" with the last one and whether the file has the same.
use strict;
use warnings;
use IO::Socket::INET;

my $path   = '/var/lib/notary';
my $number = 0;
my $socket = IO::Socket::INET->new(LocalPort => 80, Listen => 50, ReuseAddr => 1) or die "no socket: $!";
$SIG{TERM} = sub { print "notary ends at $number\n"; exit 0 };
$| = 1;
while (1) {
    my $client = $socket->accept or next;
    my $asked  = <$client> // '';
    if ($asked =~ /^count/) {
        $number++;
        open my $file, '>', "$path.new" or die;
        print {$file} $number;
        close $file or die;
        rename "$path.new", $path or die;
        print {$client} "$number\n";
    }
    else {
        my $written = 0;
        if (open my $file, '<', $path) { $written = <$file>; close $file }
        print {$client} "$number ", ($written == $number ? 'sound' : "but $written in the file"), "\n";
    }
    close $client;
}
