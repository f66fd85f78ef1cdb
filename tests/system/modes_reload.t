#!/usr/bin/perl
# The mode is changed under a running node: new connections follow it at once, in both directions, also into off and back.
# And what the modes mean on one host, where `local` has a say.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma) = map { $lab->host($_) } qw(alpha beta gamma);
plan skip_all => 'a control run has no modes' if !$alpha->shim_env;

$alpha->shim(conf => { mode => 'allow' });
$gamma->shim(conf => { mode => 'prefer' });
my %option = (long => 1, explicit => 1, args => [qw(-kernel net_setuptime 3)]);
my $a     = $alpha->node('a', shim => 1, %option);
my $plain = $beta->node('plain', %option);
my $tls   = $gamma->node('tls', shim => 1, %option);

# The programs of a host follow their file: the node makes a connection, and is asked by another.
sub set {
    my ($mode) = @_;
    my $ask = 'gen_tcp:close(element(2, gen_tcp:connect("%s", 4369, [])))';
    $alpha->change_mode($mode, 2, sub {
        $a->call(sprintf $ask, $beta->ip);
        $plain->call(sprintf $ask, $alpha->ip);
    });
}

# Who believes that it is connected still does not connect.
sub part {
    my ($from, $to) = @_;
    $from->call('erlang:disconnect_node(' . $to->atom . ')');
    wait_until('both are rid of each other', 10, sub { !grep { $_->call('nodes(connected)') ne '[]' } $from, $to });
}

sub meets {
    my ($from, $to, $expected) = @_;
    is($from->call('net_kernel:connect_node(' . $to->atom . ')'), $expected, $from->name . ' to ' . $to->name . ": $expected")
        or diag $alpha->log;
    part($from, $to);
}

sub all_meet {
    my (@expected) = @_;
    meets(@$_, shift @expected) for [$plain, $a], [$a, $plain], [$tls, $a], [$a, $tls];
}

subtest 'it starts in allow' => sub { all_meet(qw(true true true true)) };

subtest 'off: as without the library' => sub {
    set('off');
    my @before = $alpha->log(qr/peer=/);
    all_meet(qw(true true false true));
    is_deeply([$alpha->log(qr/peer=/)], \@before, 'of which it has nothing to say');
};

subtest 'require: the listener is still known' => sub {
    set('require');
    all_meet(qw(false false true true));
    ok(scalar $alpha->log(qr/event=refused .*role=distribution direction=in node=plain\@.*our mode is require|role=epmd direction=in .*our mode is require/),
        'the log says why one is refused') or diag $alpha->log;
};

subtest 'prefer: who was forgotten is let in at once' => sub {
    set('prefer');
    all_meet(qw(true false true true));
};

subtest 'a policy that cannot be used changes nothing' => sub {
    $alpha->replace_shim(conf => { mode => 'require', tls => { certificate => '/none' } });
    wait_until('the node has looked', 20, sub {
        meets($tls, $a, 'true');
        $alpha->log(qr/beam.*event=reload_failed/);
    });
    all_meet(qw(true false true true));
    set('allow');
    all_meet(qw(true true true true));
};

# Of two connections that begin at the same time the VMs give one up.
for my $mode (qw(allow prefer)) {
    subtest "two nodes connect to each other at once, $mode" => sub {
        set($mode) if $mode ne 'allow';
        unlink $_->log_file for $alpha, $gamma;
        for (1 .. 40) {
            my @pairs = ([$a, $tls], [$tls, $a]);
            my @requests = map { $_->[0]->begin('net_kernel:connect_node(' . $_->[1]->atom . ')') } @pairs;
            my @answers  = map { $pairs[$_][0]->result($requests[$_]) } 0, 1;
            is("@answers", 'true true', 'they meet') or last if grep { $_ ne 'true' } @answers;
            part($a, $tls);
        }
        my @refused = map { $_->log(qr/event=refused .*role=distribution direction=out/) } $alpha, $gamma;
        is(scalar @refused, 0, 'and nobody is said to have been refused') or diag @refused;
    };
}

subtest 'a connection keeps the mode by which it came' => sub {
    is($plain->call('net_kernel:connect_node(' . $a->atom . ')'), 'true', 'plaintext, in prefer');
    set('require');
    is($plain->call('erpc:call(' . $a->atom . ', erlang, node, [])'), $a->atom, 'which goes on in require');
    is($plain->call('erlang:disconnect_node(' . $a->atom . ')'), 'true', 'but once it has ended');
    meets($plain, $a, 'false');
};

$_->stop for $a, $plain, $tls;
$_->stop_epmd for $alpha, $beta;

# What local keeps out of require is no worse than a stranger, whom allow and prefer take.
for (['allow', 'true'], ['prefer', 'true'], ['require', 'false']) {
    my ($mode, $expected) = @$_;
    subtest "one host, local is deny, mode is $mode" => sub {
        $alpha->shim(conf => { mode => $mode, local => 'deny' });
        my $guarded  = $alpha->node("g_$mode", shim => 1, %option);
        my $stranger = $alpha->node("s_$mode", %option);
        meets($stranger, $guarded, $expected);
        $_->stop for $guarded, $stranger;
        $alpha->stop_epmd;
    };
}

# A C node blocks, where a VM polls.
subtest 'erl_call in each mode' => sub {
    my $far = $beta->node('far', shim => 1, %option);
    for (['allow', 'allow', 1], ['allow', 'prefer', 1], ['prefer', 'prefer', 1], ['require', 'prefer', 1], ['allow', 'require', 0]) {
        my ($ours, $theirs, $expected) = @$_;
        $beta->change_mode($theirs, 2, sub { $far->call('gen_tcp:close(element(2, gen_tcp:connect("127.0.0.1", 4369, [])))') });
        $alpha->shim(conf => { mode => $ours });
        my $run = $alpha->run({ env => { $alpha->shim_env } }, qw(erl_call -c lab -n), $far->name, '-a', 'erlang node');
        is($run->out =~ /^'?\Q${\$far->name}\E'?$/ ? 1 : 0, $expected, "$ours calls $theirs") or diag $run->describe, $alpha->log, $beta->log;
    }
};

done_testing;
