#!/usr/bin/perl
# However epmd is started, it listens where the policy says and on loopback, for the nodes of the host. When it is killed
# and started anew, running nodes register again and stay where they were.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners node_port reached);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant { EPMD_PORT => 4369, OTHER_PORT => 4370 };

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my ($designated) = $alpha->interface('eth1', 78);
$beta->interface('eth1', 78);
my $other = $alpha->ip;
$alpha->shim(conf => { distribution => { bind => '10.78.0.0/16' } });
my %library = $alpha->shim_env or plan skip_all => 'epmd listens everywhere without the library';
my @loopback = qw(127.0.0.1 ::1);

sub at { my ($port, @addresses) = @_; return [sort map {"$_ $port"} @addresses] }

sub listens {
    my ($port, @addresses) = @_;
    my $wanted = at($port, @addresses);
    wait_for(10, sub { listeners($alpha, 'epmd') == @$wanted });
    is_deeply([listeners($alpha, 'epmd')], $wanted, "epmd listens at @addresses") or diag $alpha->log;
    my %elsewhere = map { $_ => 1 } $alpha->addresses;
    is_deeply([reached($beta, $alpha, $port)], [grep { $elsewhere{$_} } @addresses], 'as another host finds out, too');
}

# The port is said where it is another than usual.
sub end_epmd {
    my (@args) = @_;
    my $killed = $alpha->run({ env => {%library} }, 'epmd', @args, '-kill');
    like($killed->out, qr/Killed/, 'epmd -kill ends it');
    wait_until('epmd is gone', 10, sub { !listeners($alpha, 'epmd') });
}

subtest 'without the library' => sub {
    $alpha->must(qw(epmd -daemon));
    wait_for(10, sub { listeners($alpha, 'epmd') == 2 });
    is_deeply([listeners($alpha, 'epmd')], at(EPMD_PORT, '0.0.0.0', '::'), 'it listens everywhere');
    is_deeply([reached($beta, $alpha, EPMD_PORT)], [$alpha->addresses], 'as another host finds out');
    end_epmd();
};

my @by_hand = (
    ['epmd -daemon',      [qw(epmd -daemon)],                   {},                                      EPMD_PORT],
    ['epmd',              [qw(epmd)],                           {},                                      EPMD_PORT],
    ['epmd -relaxed_command_check -debug', [qw(epmd -relaxed_command_check -debug)], {},                 EPMD_PORT],
    ['epmd -port',        [qw(epmd -daemon -port), OTHER_PORT], {},                                      OTHER_PORT],
    ['ERL_EPMD_PORT',     [qw(epmd -daemon)],                   { ERL_EPMD_PORT => OTHER_PORT },         OTHER_PORT],
    ['epmd -address, as designated', [qw(epmd -daemon -address), $designated], {},                       EPMD_PORT],
    ['ERL_EPMD_ADDRESS, as designated', [qw(epmd -daemon)], { ERL_EPMD_ADDRESS => $designated },         EPMD_PORT],
);
for my $case (@by_hand) {
    my ($what, $argv, $env, $port) = @$case;
    subtest $what => sub {
        $alpha->spawn({ env => { %library, %$env } }, @$argv);
        listens($port, @loopback, $designated);
        my @port = $port == EPMD_PORT ? () : (-port => $port);
        like($alpha->must('epmd', @port, '-names'), qr/epmd: up and running on port $port/, 'epmd -names works on the host');
        end_epmd(@port);
    };
}

for my $env ({ ERL_EPMD_ADDRESS => '127.0.0.1' }, { ERL_EPMD_ADDRESS => '127.0.0.1,::1' }) {
    subtest "ERL_EPMD_ADDRESS=$env->{ERL_EPMD_ADDRESS}, narrower than the policy" => sub {
        $alpha->spawn({ env => { %library, %$env } }, qw(epmd -daemon));
        listens(EPMD_PORT, @loopback);
        end_epmd();
    };
}

my @refused = (
    ['ERL_EPMD_ADDRESS of the other network', [qw(epmd -debug)], { ERL_EPMD_ADDRESS => $other }, qr/\Q$other\E.*\.conf:\d+/],
    ['epmd -address of the other network', [qw(epmd -debug -address), $other], {}, qr/\Q$other\E.*\.conf:\d+/],
    ['one of two addresses', [qw(epmd -debug)], { ERL_EPMD_ADDRESS => "$designated,$other" }, qr/\Q$other\E.*\.conf:\d+/],
    ['epmd -address ::', [qw(epmd -debug -address ::)], {}, qr/policy/],
);
for my $case (@refused) {
    my ($what, $argv, $env, $message) = @$case;
    subtest $what => sub {
        my $epmd = $alpha->spawn({ env => { %library, %$env } }, @$argv);
        ok($epmd->wait(10), 'epmd does not start');
        isnt($epmd->status, 0, 'its status says so');
        like($epmd->err, qr/^distguard.*$message/m, 'and stderr says why') or diag $epmd->describe;
        is_deeply([listeners($alpha, 'epmd')], [], 'nothing listens');
        $epmd->kill;
    };
}

subtest 'started by the node, killed, and started anew' => sub {
    my $a = $alpha->node("a\@$designated", long => 1, shim => 1);
    my $b = $beta->node('b@10.78.0.2', long => 1, shim => 1);
    listens(EPMD_PORT, @loopback, $designated);
    my @before = listeners($alpha, $a->pid);
    my $port = node_port($alpha, 'a');
    is_deeply(\@before, ["$designated $port"], 'the node is where it belongs');
    my $refuses = $alpha->run({ env => {%library} }, qw(epmd -kill));
    like($refuses->out, qr/Killing not allowed/, 'epmd -kill respects a registered node');
    my ($epmd) = $alpha->must(qw(ss -Htlnp)) =~ /\("epmd",pid=(\d+)/ or die 'no epmd';

    kill KILL => $epmd;
    wait_until('epmd is gone', 10, sub { !listeners($alpha, 'epmd') });
    is_deeply([listeners($alpha, $a->pid)], \@before, 'the listener of the running node stays');
    $alpha->must({ env => {%library} }, qw(epmd -daemon));
    ok(wait_for(15, sub { eval { node_port($alpha, 'a') == $port } }), 'it registers again, with the same port');
    is_deeply([listeners($alpha, $a->pid)], \@before, 'its listener is where it was');
    listens(EPMD_PORT, @loopback, $designated);
    is($b->call('net_adm:ping(' . $a->atom . ')'), 'pong', 'a node of another host finds and reaches it');
    is_deeply([reached($beta, $alpha, $port)], [$designated], 'there alone');
    is_deeply([$alpha->log(qr/distguard\[beam.*refused.*direction=out/)], [], 'and nothing was refused meanwhile');
};

done_testing;
