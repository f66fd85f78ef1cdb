#!/usr/bin/perl
# Short names and long ones, IPv6, and another EPMD port: whatever way nodes name and find each other, they join.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(start_epmd_daemon);
use Test::More;

use constant OTHER_PORT => 4370;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);

# The nodes join whoever begins, and their words are not to be read on the wire.
sub cluster {
    my ($what, $first, $second, %option) = @_;
    subtest $what => sub {
        my $capture = $beta->capture;
        my $a = $alpha->node($first, shim => 1, %option);
        my $b = $beta->node($second, shim => 1, %option);
        my ($A, $B) = ($a->atom, $b->atom);
        is($a->call('node()') =~ s/'//gr, $a->name, $a->name . ' is up');
        is($a->call("net_adm:ping($B)"), 'pong', 'it joins ' . $b->name);
        is($a->call("erpc:call($B, erlang, atom_to_list, [confidential])"), '"confidential"', 'a call');
        is($a->call("erlang:disconnect_node($B)"), 'true', 'it leaves');
        is($b->call("net_adm:ping($A)"), 'pong', 'and is joined from the other side');
        $_->stop for $a, $b;
        my @streams = $capture->stop(except_ports => [4369, OTHER_PORT]);
        ok(scalar(grep { $option{family} ? $_->{from} =~ /^fd77/ : $_->{from} =~ /^10\.77/ } @streams),
            'the capture shows the connection');
        my $clear = grep { $_->{bytes} =~ /confidential/ } @streams;
        $alpha->shim_env ? is($clear, 0, 'and no word of it') : ok($clear, 'in clear, without the library');
    };
}

cluster('short names', 'a', 'b');
cluster('long names that are addresses', 'a', 'b', long => 1);
cluster('long names that are host names', 'a@alpha.lab', 'b@beta.lab', long => 1);
cluster('IPv6, short names', 'a', 'b', args => [qw(-proto_dist inet6_tcp)], family => 6);
cluster('IPv6, long names', 'a@alpha.lab', 'b@beta.lab', long => 1, args => [qw(-proto_dist inet6_tcp)], family => 6);
cluster('another EPMD port, by environment', 'a', 'b', env => { ERL_EPMD_PORT => OTHER_PORT });
for my $host ($alpha, $beta) {
    $host->stop_epmd(OTHER_PORT);
    start_epmd_daemon($host, shim => 1, port => OTHER_PORT, args => ['-port', OTHER_PORT]);
}
cluster('another EPMD port, by argument', 'a', 'b', args => ['-epmd_port', OTHER_PORT, '-start_epmd', 'false']);

done_testing;
