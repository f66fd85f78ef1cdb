# Two programs that do what nodes and C nodes do, and between them a relay, which keeps what passed and cuts or stops it
# where asked to.
package Pairs;
use strict;
use warnings;
use Cwd qw(abs_path);
use Distguard::Tool qw(slurp);
use Exporter qw(import);
use File::Basename qw(dirname);
use POSIX qw(WIFSIGNALED WTERMSIG WEXITSTATUS);
use Probes qw(probe_folder probe_program policy guarded_env);
use Test::More;

our @EXPORT_OK = qw(pair pair_ok wire_ok start finish);

use constant PATIENCE => 50;
use constant MARKER   => 'marker-that-nobody-may-read';

my $peer = probe_program('peer', qw(
    peer.c peer_calls.c peer_stream.c peer_readiness.c peer_numbers.c peer_handing.c report.c kinds.c calls.c fortified.c));
my $conf = policy(programs => ['peer'], ports => '1-65535', handshake_timeout => '3.0');
# Where no port is distribution's, it is known by its first bytes alone.
my $unknowing = policy(programs => ['peer'], handshake_timeout => '3.0', file => 'unknowing.conf');
my $relay = abs_path(dirname(__FILE__)) . '/relay';
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
    my $client = start({ %$env, $scenario eq 'handed' ? (DISTGUARD_CONF => $unknowing) : () },
        $peer, 'client', port_of($tap), $scenario, $variant);
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

1;
