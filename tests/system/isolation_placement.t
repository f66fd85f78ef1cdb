#!/usr/bin/perl
# A place that the policy names and the host does not have: the program refuses to start, says what the host has instead,
# and nothing listens, least of all everywhere. Once the host has the place, the same programs start.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners);
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

use constant EXIT_REFUSED => 78;

my $lab  = Distguard::Lab->new;
my $host = $lab->host('alpha');
$host->shim_env or plan skip_all => 'nothing to refuse without the library';
$host->must('sh', '-ec', <<'END');
    ip link add bare0 type veth peer name bare1
    ip link set bare0 up addrgenmode none
    ip link set bare1 up
    ip link add down0 type veth peer name down1
    ip addr add 10.79.0.1/24 dev down0
    ip link add twin0 type veth peer name twin1
    ip link set twin0 up
    ip link set twin1 up
    ip addr add 10.80.0.1/24 dev twin0
    ip addr add 10.80.0.2/24 dev twin0
END

# A node would start an EPMD behind our back, which lives on and may take the place of the next test's.
my @programs = ([qw(erl -start_epmd false -noshell -sname refused -eval), 'io:put_chars("I run"), halt(0).'], [qw(epmd -debug)]);

# What stands in `distribution`, or, where `epmd` comes first, in `epmd`; and what the message has to say.
my @refused = (
    ['an interface without an address', { bind => 'interface:bare0' }, qr/bare0 has no address/],
    ['an interface that does not exist', { bind => 'interface:eth9' }, qr/no interface eth9; it has: .*eth0/],
    ['an interface that is down', { bind => 'interface:down0' }, qr/down0 has no address/],
    ['an address that the host has not', { bind => '10.99.0.1' }, qr/no address 10\.99\.0\.1; it has: .*10\.77\.0\.1/],
    ['a network in which the host has no address', { bind => '10.99.0.0/16' },
        qr{no address in 10\.99\.0\.0/16; it has: .*10\.77\.0\.1}],
    ['a network of the other family', { bind => 'fd99::/16' }, qr{no address in fd99::/16; it has: .*fd77::1}],
    ['a network in which it has two', { bind => '10.80.0.0/16' },
        qr{several addresses in 10\.80\.0\.0/16, name one; it has: 10\.80\.0\.1, 10\.80\.0\.2}],
    ['one of a list', { bind => ['10.77.0.0/16', 'fd99::/16'] }, qr{no address in fd99::/16}],
);

# Runs a program with a policy. What it says and its status.
sub with_policy {
    my ($conf, @argv) = @_;
    my $file = $host->shim(conf => $conf, file => $lab->temp_path('conf'));
    return $host->spawn({ env => { $host->shim_env, DISTGUARD_CONF => $file } }, @argv);
}

sub is_refused {
    my ($conf, $message, $argv, @listeners) = @_;
    my $process = with_policy($conf, @$argv);
    ok($process->wait(20), "$argv->[0] ends");
    is($process->status, EXIT_REFUSED, 'refused to start') or diag $process->describe;
    like($process->err, qr/^distguard.*conf:\d+: .*$message/m, 'stderr says what is wrong, and where in the policy');
    unlike($process->out, qr/I run/, 'nothing of it ran');
    is_deeply([listeners($host)], \@listeners, 'nothing listens that did not before');
    $process->kill;
}

for my $case (@refused) {
    my ($what, $distribution, $message) = @$case;
    subtest $what => sub {
        is_refused({ distribution => $distribution }, $message, $_) for @programs;
    };
}

subtest 'in epmd.bind alone' => sub {
    is_refused({ epmd => { bind => 'interface:eth9' } }, qr/no interface eth9/, $_) for @programs;
};

subtest 'in connect_from alone' => sub {
    # It is not epmd's affair, which connects to nobody.
    my $epmd = with_policy({ distribution => { connect_from => 'interface:eth9' } }, @{ $programs[1] });
    wait_until('epmd listens', 10, sub { listeners($host, 'epmd') });
    my @before = listeners($host);
    is_refused({ distribution => { connect_from => 'interface:eth9' } }, qr/no interface eth9/, $programs[0], @before);
    $epmd->kill;
};

subtest 'the place comes to be' => sub {
    $host->must(qw(ip addr add 10.81.0.1/24 dev bare0));
    my $conf = { distribution => { bind => 'interface:bare0' } };
    my $epmd = with_policy($conf, @{ $programs[1] });
    wait_until('epmd listens', 10, sub { listeners($host) == 3 });
    is_deeply([listeners($host)], ['10.81.0.1 4369', '127.0.0.1 4369', '::1 4369'], 'epmd is there');
    my $node = with_policy($conf, @{ $programs[0] });
    ok($node->wait(20), 'a node runs');
    is_deeply([$node->status, $node->out], [0, 'I run'], 'to its end') or diag $node->describe;
    $epmd->kill;
};

done_testing;
