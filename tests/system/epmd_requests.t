#!/usr/bin/perl
# What may be asked of EPMD: from another host, with a good certificate, only what epmd.remote_requests lists; what
# changes something, never. From this host everything, as without the library.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(ask names_req port_please registration start_epmd);
use Distguard::Lab::Wait qw(wait_for);
use Test::More;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
plan skip_all => 'everybody may ask without the library' if !$alpha->shim_env;
my $pair = $lab->pki->certificate_of($beta);

sub epmd {
    my ($requests, @args) = @_;
    $alpha->shim(conf => { epmd => { defined $requests ? (remote_requests => $requests) : () } });
    my $epmd = start_epmd($alpha, shim => 1, args => \@args);
    my $node = $alpha->spawn($lab->root . '/tests/tools/epmd-register', qw(--hold 1));
    wait_for(10, sub { $node->out =~ /registered/ }) or die $node->describe;
    return ($epmd, $node);
}

# A refusal is logged once a minute for each peer and reason: who is to be refused comes from an address of its own.
my @sources = $beta->more_addresses(14);

sub remotely { ask($beta, $alpha->ip, $_[0], pair => $pair) }

sub is_told {
    my ($request, $wanted, $what) = @_;
    my $found = remotely($request);
    like($found->{answer}, $wanted, "$what: answered") or diag explain($found), $alpha->log;
    is($found->{end}, 'eof', "$what: with an orderly end");
}

sub is_not_told {
    my ($request, $reason, $what) = @_;
    my $source = shift @sources // die 'no address left';
    $beta->speak_from($source);
    is(remotely($request)->{answer}, '', "$what: nothing is told");
    my @new;
    wait_for(10, sub { @new = $alpha->log(qr/event=refused peer=\Q$source\E:.* role=epmd/) });
    is(scalar @new, 1, "$what: one line in the log") or diag @new, 'the whole log: ', $alpha->log;
    like($new[0] // '', $reason, "$what: it says why");
}

my $names       = names_req();
my $port_please = port_please('node1');
my %answer      = ($names => qr/^\0\0\x11\x11name node1 at port 10001\n$/, $port_please => qr/^w\0\Q${\pack 'n', 10001}\E/);

subtest 'both, the default' => sub {
    my ($epmd, $node) = epmd(undef);
    is_told($names, $answer{$names}, 'names');
    is_told($port_please, $answer{$port_please}, 'port_please');
    is_told(port_please('nobody'), qr/^w\x01$/, 'port_please of nobody');
    $_->kill for $epmd, $node;
};

subtest 'port_please alone' => sub {
    my ($epmd, $node) = epmd(['port_please']);
    is_told($port_please, $answer{$port_please}, 'port_please');
    is_not_told($names, qr/names.*epmd\.remote_requests/, 'names');
    $_->kill for $epmd, $node;
};

subtest 'names alone' => sub {
    my ($epmd, $node) = epmd(['names']);
    is_told($names, $answer{$names}, 'names');
    is_not_told($port_please, qr/port.*epmd\.remote_requests/, 'port_please');
    $_->kill for $epmd, $node;
};

subtest 'neither' => sub {
    my ($epmd, $node) = epmd(\'[ ]');
    is_not_told($names, qr/epmd\.remote_requests/, 'names');
    is_not_told($port_please, qr/epmd\.remote_requests/, 'port_please');
    like($alpha->must(qw(epmd -names)), qr/name node1 at port 10001/, 'the host itself is told');
    $_->kill for $epmd, $node;
};

my %never = (
    'registration'           => registration('thief', 4711),
    'DUMP_REQ'               => pack('n/a*', 'd'),
    'KILL_REQ'               => pack('n/a*', 'k'),
    'STOP_REQ'               => pack('n/a*', 'snode1'),
    'an old registration'    => pack('n/a*', 'a' . pack('n', 4711) . 'thief'),
    'NAMES_REQ with a tail'  => pack('n/a*', 'nn'),
    'two requests at once'   => $names . $names,
    'a request behind one'   => $port_please . registration('thief', 4711),
    'a name beyond any limit' => port_please('x' x 1021),
    'no request'             => "\0\0",
);

# Even where epmd does what it can to be helpful.
subtest 'never from another host' => sub {
    my ($epmd, $node) = epmd(undef, '-relaxed_command_check');
    is_not_told($never{$_}, qr/asks for what no other host may ask/, $_) for sort keys %never;
    ok($epmd->running, 'epmd lives on');
    is(join('', $alpha->must(qw(epmd -names)) =~ /^name.*$/mg), 'name node1 at port 10001', 'its nodes are what they were');
    $_->kill for $epmd, $node;
};

subtest 'from this host' => sub {
    my ($epmd, $node) = epmd(undef);
    like($alpha->must(qw(epmd -names)), qr/^name node1 at port 10001$/m, 'epmd -names');
    like($alpha->must(qw(epmd -dump)), qr/^active name +<node1> at port 10001/m, 'epmd -dump');
    like($alpha->run(qw(epmd -kill))->out, qr/nodes.*in database/i, 'epmd -kill is not done while a node is there');
    ok($epmd->running, 'as epmd itself decides');
    $node->kill;
    ok(wait_for(10, sub { $alpha->must(qw(epmd -names)) !~ /^name/m }), 'the node is gone with its connection');
    like($alpha->run(qw(epmd -kill))->out, qr/Killed/, 'epmd -kill');
    ok($epmd->wait(10), 'and it ends');
};

subtest 'from this host, with -relaxed_command_check' => sub {
    my ($epmd, $node) = epmd(undef, '-relaxed_command_check');
    like($alpha->run(qw(epmd -stop node1))->out, qr/STOPPED/, 'epmd -stop');
    like($alpha->must(qw(epmd -names)), qr/data:\s*$/, 'the node is unregistered');
    my ($again) = $alpha->spawn($lab->root . '/tests/tools/epmd-register', qw(--hold 1));
    wait_for(10, sub { $again->out =~ /registered/ });
    like($alpha->run(qw(epmd -kill))->out, qr/Killed/, 'epmd -kill with a node there');
    ok($epmd->wait(10), 'and it ends');
};

done_testing;
