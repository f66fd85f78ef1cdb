#!/usr/bin/perl
# Every call on guarded connections, between two programs that do what nodes and C nodes do: what is sent arrives, by
# whatever call; what is refused is refused; pollers are told the truth; and on the wire there is TLS alone. Between
# the two is a relay, which keeps what passed and cuts or stops it where asked to.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../probes";
use Distguard::Tool qw(slurp);
use IO::Select;
use POSIX qw(WIFSIGNALED WTERMSIG WEXITSTATUS);
use Probes qw(probe_folder probe_program policy guarded_env);
use Test::More;
use Time::HiRes qw(time);

use constant PATIENCE => 50;
use constant MARKER   => 'marker-that-nobody-may-read';

my $peer = probe_program('peer', qw(
    peer.c peer_calls.c peer_stream.c peer_readiness.c report.c kinds.c calls.c fortified.c));
my $conf = policy(programs => ['peer'], ports => '1-65535', handshake_timeout => '3.0');
my $relay = "$FindBin::Bin/../probes/relay";
my $seed  = $ENV{PROBE_SEED} // int rand 1 << 30;
note "PROBE_SEED=$seed";

my @running;
END { kill KILL => map { $_->{pid} } @running; }

# Starts a program; its output is read later, its errors go to a file.
sub start {
    my ($env, @command) = @_;
    my $error = File::Temp->new(DIR => probe_folder());
    my $pid = open(my $out, '-|') // die "fork: $!";
    if ($pid == 0) {
        open(STDERR, '>&', $error);
        delete @ENV{qw(DISTGUARD DISTGUARD_PROFILE)};
        @ENV{ keys %$env } = values %$env;
        exec { $command[0] } @command or die "$command[0]: $!";
    }
    my $program = { pid => $pid, out => $out, error => $error };
    push @running, $program;
    return $program;
}

sub port_of {
    my ($program) = @_;
    my $line = readline($program->{out}) // '';
    return $line =~ /^port (\d+)$/ ? $1 : die "no port: $line" . slurp($program->{error});
}

# Waits for the end: status, and what it said.
sub finish {
    my ($program) = @_;
    local $SIG{ALRM} = sub { kill KILL => $program->{pid} };
    alarm PATIENCE;
    my $said = join '', readline $program->{out};
    close $program->{out};
    alarm 0;
    my $status = WIFSIGNALED($?) ? 128 + WTERMSIG($?) : WEXITSTATUS($?);
    @running = grep { $_ != $program } @running;
    return { status => $status, said => $said . slurp($program->{error}) };
}

sub line_of {
    my ($program) = @_;
    local $SIG{ALRM} = sub { kill KILL => $program->{pid} };
    alarm PATIENCE;
    my $line = readline($program->{out}) // '';
    alarm 0;
    return $line;
}

sub stop {
    my ($program) = @_;
    kill TERM => $program->{pid};
    return finish($program);
}

# One scenario between a server and a client, through the relay. Gives what each side's end was and what was on the wire.
sub pair {
    my ($scenario, $variant, @disturbance) = @_;
    my $env    = { guarded_env($conf, 'peer'), PROBE_SEED => $seed };
    my $server = start($env, $peer, 'server', $scenario, $variant);
    my $wire   = probe_folder() . '/wire';
    my $tap    = start({}, $relay, port_of($server), $wire, @disturbance);
    my $client = start($env, $peer, 'client', port_of($tap), $scenario, $variant);
    my ($client_end, $server_end) = (finish($client), finish($server));
    my $passed = line_of($tap) . stop($tap)->{said};    # it tells when it has seen both ends
    return { client => $client_end, server => $server_end, wire => slurp($wire), passed => $passed };
}

# Nothing but TLS records, and none of what was sent.
sub wire_ok {
    my ($wire) = @_;
    is(index($wire, MARKER), -1, 'the marker is not on the wire');
    is(index($wire, '0123456789'), -1, 'nor the rest of the text');
    like($wire, qr/^\x16\x03/, 'the wire begins as TLS');
}

sub pair_ok {
    my ($scenario, $variant, $what, @disturbance) = @_;
    subtest "$scenario $variant: $what" => sub {
        my $pair = pair($scenario, $variant, @disturbance);
        for my $side (qw(client server)) {
            is($pair->{$side}{status}, 0, $side) or diag "$side said: $pair->{$side}{said}";
        }
        wire_ok($pair->{wire});
    };
}

pair_ok('calls',    '',              'each writing call against each reading one');
pair_ok('flags',    '',              'MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, FIONREAD, single bytes');
pair_ok('copies',   '',              'dup, dup2, dup3, F_DUPFD, and the original closed');
pair_ok('children', '',              'neither send nor receive, and end nothing by closing');
pair_ok('ending',   '',              'shutdown of one direction');
pair_ok('refused',  '',              'what would pass by TLS');
pair_ok('early',    '',              'a blocking program sleeps while the handshake waits');
pair_ok('framed',   '',              'a hundred messages in one record, then silence');
pair_ok('framed',   'bytes',         'read byte by byte');
pair_ok('framed',   '',              'records cut into single bytes', 'bytes');
pair_ok('framed',   'bytes',         'both', 'bytes');
pair_ok('calls',    '',              'records cut into single bytes', 'bytes') if $ENV{DISTGUARD_LONG_TESTS};
pair_ok('flood',    '',              'both send until both kernels are full');
pair_ok('stream',   '',              '50 MB both ways, poll');
pair_ok('stream',   'epoll',         '50 MB both ways, level-triggered epoll');
pair_ok('stream',   'epoll-oneshot', '50 MB both ways, EPOLLONESHOT');
pair_ok('stream',   'threads',       '50 MB both ways, blocking, a thread for each');

# A peer that stops. Where, in bytes of one side: the handshake's sizes vary by a few, as signatures do; the client's
# last record has 16000 bytes.
my $whole = pair('stalled', '');
my ($from_client, $from_server) = $whole->{passed} =~ /^passed (\d+) (\d+)$/m;
cmp_ok($from_client // 0, '>', 16000, 'all passes where nothing stops it') or diag explain $whole->{client}, $whole->{passed};
for my $stop (
    ['in the head of the ClientHello',      'client', 3],
    ['in the midst of the ClientHello',     'client', 100],
    ['before the client has finished',      'client', $from_client - 16500],
    ['in the midst of a record',            'client', $from_client - 8000],
    ['one byte before the end of a record', 'client', $from_client - 100],
    ['before any answer',                   'server', 0],
    ['in the midst of the ServerHello',     'server', 50],
    ['in the midst of its certificate',     'server', 500],
) {
    my ($where, $side, $bytes) = @$stop;
    subtest "the $side stops $where, after $bytes bytes" => sub {
        my $pair = pair('stalled', '', $side, $bytes);
        for my $end (qw(client server)) {
            is($pair->{$end}{status}, 0, "the $end sleeps") or diag $pair->{$end}{said};
            like($pair->{$end}{said}, qr/reads in vain: \d+/, 'it was counted');
            note $pair->{$end}{said};
        }
    };
}

my $log = slurp(probe_folder() . '/log');
like($log,   qr/event=admitted .*version=TLSv1\.3/, 'the log tells of TLS 1.3');
unlike($log, qr/event=plaintext/,                   'and of no plaintext');

done_testing;
