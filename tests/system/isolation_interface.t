#!/usr/bin/perl
# A release that chooses its address itself (inet_dist_use_interface): what is narrower than the policy is kept, what is
# the same is kept, what is elsewhere is refused with a message. The ports are known to the policy, or learned.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners);
use Socket qw(AF_INET6 inet_pton);
use Test::More;

use constant PORT => 9100;

my $lab  = Distguard::Lab->new;
my $host = $lab->host('alpha');
my ($designated, $designated6) = $host->interface('eth1', 78);
$host->shim_env or plan skip_all => 'the release has its way without the library';
my ($other, $other6) = ($host->ip, $host->ip6);

# An address as Erlang writes it.
sub tuple {
    my ($address) = @_;
    my @numbers = $address =~ /:/ ? unpack 'n8', inet_pton(AF_INET6, $address) : split /\./, $address;
    return '{' . join(',', @numbers) . '}';
}

sub start {
    my ($name, $address, %option) = @_;
    my @family = $address =~ /:/ ? qw(-proto_dist inet6_tcp) : ();
    my @ports = $option{port} ? ('inet_dist_listen_min', PORT, 'inet_dist_listen_max', PORT) : ();
    return $host->start_node($name, shim => $option{shim} // 1,
        args => [@family, qw(-kernel inet_dist_use_interface), tuple($address), @ports]);
}

my @bind = ('10.78.0.0/16', 'fd78::/16');
my @cases = (
    [\@bind, $designated,   'kept',    'the designated address'],
    [\@bind, $designated6,  'kept',    'the designated IPv6 address'],
    [\@bind, '127.0.0.1',   'kept',    'loopback, which is narrower'],
    [\@bind, '::1',         'kept',    'IPv6 loopback, which is narrower'],
    [\@bind, $other,        'refused', 'the address of another interface'],
    [\@bind, $other6,       'refused', 'the IPv6 address of another interface'],
    ['interface:eth1', $designated, 'kept',    'an address of the designated interface'],
    ['interface:eth1', $other,      'refused', 'an address of another interface'],
    ['loopback',       '127.0.0.7', 'kept',    'another loopback address'],
    ['loopback',       $designated, 'refused', 'an address, where the policy wants loopback'],
    ['any',            $other,      'kept',    'an address, where the policy leaves it to the release'],
);

for my $case (@cases) {
    my ($bind, $address, $outcome, $what) = @$case;
    $host->shim(conf => { distribution => { bind => $bind, connect_from => 'interface:eth1' } });
    my $text = ref $bind ? "[ @$bind ]" : $bind;
    subtest "bind = $text, the release wants $what" => sub {
        for my $port (0, 1) {
            my $how = $port ? 'a port of the command line' : 'a port that is learned';
            my $node = start('a', $address, port => $port);
            if ($outcome eq 'kept') {
                $node->wait_up;
                my @listeners = listeners($host, $node->pid);
                is(scalar @listeners, 1, "$how: one listener");
                like($listeners[0], qr/^\Q$address\E /, 'where the release wants it');
            } else {
                my $process = $node->process;
                ok($process->wait(20), "$how: the node does not start");
                isnt($process->status, 0, 'its status says so');
                my $why = qr/wants to listen at \Q$address\E, which is not where the policy wants it \(\S+:\d+\)/;
                like($process->err, qr/^distguard.*$why/m, 'stderr says why') or diag $process->describe;
                cmp_ok(scalar(grep { /$why/ } $host->log), '>', 0, 'and so does the log');
                is_deeply([listeners($host, 'beam.smp')], [], 'nothing listens');
            }
            $node->kill;
        }
    };
}

subtest 'without the library' => sub {
    my $node = start('a', $other, shim => 0)->wait_up;
    like((listeners($host, $node->pid))[0], qr/^\Q$other\E /, 'the release has its way');
    $node->kill;
};

done_testing;
