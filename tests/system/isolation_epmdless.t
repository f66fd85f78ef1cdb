#!/usr/bin/perl
# Releases without EPMD: where the command line or the policy names the port, nodes meet over TLS at the designated
# address; where neither does, plaintext distribution is still refused, by its first bytes, on whichever socket it comes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners reached);
use Test::More;

use constant {
    EPMD_PORT => 4369, ONE_PORT => 9500, A_PORT => 9501, B_PORT => 9502, APPLICATION_PORT => 7777,
    FLAGS => 1 << 26,    # DFLAG_MANDATORY_25_DIGEST, which every node since OTP 25 sends
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $stranger) = map { $lab->host($_) } qw(alpha beta stranger);
my %designated = map { $_->name => ($_->interface('eth1', 78))[0] } $alpha, $beta, $stranger;
plan skip_all => 'everybody is let in without the library' if !$alpha->shim_env;
my %bind = (bind => '10.78.0.0/16');
$_->shim(conf => { distribution => {%bind} }) for $alpha, $beta;

my @flag   = (qw(-start_epmd false -erl_epmd_port), ONE_PORT);
my @module = qw(-start_epmd false -epmd_module dg_lab_epmd);

sub start {
    my ($host, $name, %option) = @_;
    return $host->node("$name\@$designated{ $host->name }", long => 1, shim => 1, %option);
}

# Two nodes that meet: at the right addresses, through TLS alone.
sub meet {
    my ($a, $port, $b) = @_;
    is_deeply([listeners($alpha, $a->pid)], ["$designated{alpha} $port"], 'it listens at the designated address');
    is_deeply([reached($stranger, $alpha, $port)], [$designated{alpha}], 'and is reached there alone');
    my $capture = $beta->capture;
    is($b->call('net_adm:ping(' . $a->atom . ')'), 'pong', 'another node reaches it');
    is($b->call('erpc:call(' . $a->atom . ', erlang, node, [])'), $a->atom, 'and calls it');
    my @streams = grep { length $_->{bytes} } $capture->stop;
    cmp_ok(scalar @streams, '>=', 2, 'the capture has their connection');
    is_deeply([map { Distguard::Lab::Capture::not_tls($_->{bytes}) // () } @streams], [], 'which is TLS');
    is_deeply([grep { $_->{to} =~ / ${\EPMD_PORT}$/ } @streams], [], 'EPMD was not asked');
}

# An unguarded node on another host does not get in, nor does a raw name message get an answer.
sub plain_peer_is_refused {
    my ($a, $reason, @args) = @_;
    unlink $alpha->log_file;
    my $name = @args && "@args" =~ /module/ ? 'plain9509' : 'plain';
    my $plain = $stranger->node("$name\@$designated{stranger}", long => 1, args => \@args);
    is($plain->call('net_kernel:connect_node(' . $a->atom . ')'), 'false', 'an unguarded node does not get in');
    $plain->kill;
    my @refused = $alpha->log(qr/event=refused peer=\Q$designated{stranger}\E:\d+ .*direction=in.*$reason/);
    cmp_ok(scalar @refused, '>=', 1, 'and the log says why') or diag $alpha->log;
}

subtest '-erl_epmd_port on all hosts' => sub {
    my ($a, $b) = (start($alpha, 'a', args => \@flag), start($beta, 'b', args => \@flag));
    meet($a, ONE_PORT, $b);
    plain_peer_is_refused($a, qr/plaintext/, @flag);
    $_->kill for $a, $b;
};

subtest 'an epmd_module, and ports named in the policy' => sub {
    my ($a, $b) = map {
        my ($host, $name) = @$_;
        my $conf = $host->shim(conf => { distribution => { %bind, ports => ['9500-9509'] } }, file => $lab->temp_path('conf'));
        start($host, $name, args => \@module, env => { DISTGUARD_CONF => $conf });
    } [$alpha, 'a' . A_PORT], [$beta, 'b' . B_PORT];
    meet($a, A_PORT, $b);
    plain_peer_is_refused($a, qr/plaintext/, @module);
    $_->kill for $a, $b;
};

subtest 'an epmd_module, and nobody names the port' => sub {
    my ($a, $b) = (start($alpha, 'a' . A_PORT, args => \@module), start($beta, 'b' . B_PORT, args => \@module));
    is_deeply([listeners($alpha, $a->pid)], ['0.0.0.0 ' . A_PORT], 'its listener cannot be told from others');
    plain_peer_is_refused($a, qr/plaintext.*distribution\.ports/, @module);
    unlink $alpha->log_file;
    is($b->call('net_adm:ping(' . $a->atom . ')'), 'pang', 'a guarded node does not get in either: TLS is not expected there');
    $_->kill for $a, $b;

    my $plain = $alpha->node('a' . A_PORT . '@' . $designated{alpha}, long => 1, args => \@module);
    my $peer = $stranger->node('plain9509@' . $designated{stranger}, long => 1, args => \@module);
    is($peer->call('net_adm:ping(' . $plain->atom . ')'), 'pong', 'without the library they meet');
    $_->kill for $plain, $peer;
};

# A socket of the application's own that is spoken to as distribution is.
subtest 'plaintext distribution on any socket of the VM' => sub {
    my $name_message = pack('n/a*', 'N' . pack('Q> N n/a*', FLAGS, 1, "evil\@$designated{stranger}"));
    my $client = sub {
        my ($bytes) = @_;
        return $stranger->must({ input => $bytes }, 'perl', '-MIO::Socket::INET', '-e', <<'        END', $designated{alpha}, APPLICATION_PORT);
            my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die $@;
            local $/;
            syswrite $socket, <STDIN>;
            shutdown $socket, 1;
            print scalar <$socket> // '';
        END
    };
    # In allow a stranger's plaintext is taken, but from the addresses alone that the policy lets in.
    my %allow = map {
        my $from = $_;
        $from => $alpha->shim(file => $lab->temp_path('conf'), conf => { mode => 'allow', distribution => { allow_from => [$from] } });
    } map { $designated{$_} } qw(beta stranger);
    for my $case (
        [1, "hello\n", 6], [1, $name_message, 0], [0, $name_message, length $name_message],
        [1, $name_message, 0, $designated{beta}], [1, $name_message, length $name_message, $designated{stranger}],
    ) {
        my ($shim, $bytes, $echoed, $from) = @$case;
        unlink $alpha->log_file;
        my $node = $alpha->node(undef, shim => $shim, $from ? (env => { DISTGUARD_CONF => $allow{$from} }) : ());
        $node->call(<<"        END");
            Starter = self(),
            spawn(fun() ->
                {ok, Listener} = gen_tcp:listen(${\APPLICATION_PORT}, [binary, {active, false}, {reuseaddr, true}, {ip, {0,0,0,0}}]),
                Starter ! listening,
                Serve = fun Serve() ->
                    {ok, Socket} = gen_tcp:accept(Listener),
                    case gen_tcp:recv(Socket, 0, 5000) of {ok, Data} -> gen_tcp:send(Socket, Data); _ -> ok end,
                    gen_tcp:close(Socket),
                    Serve()
                end,
                Serve()
            end),
            receive listening -> ok end
        END
        is_deeply([listeners($alpha, $node->pid)], ['0.0.0.0 ' . APPLICATION_PORT], 'the application listens where it wants')
            or diag $node->process->describe;
        my $with = ($shim ? 'with the library' : 'without the library') . ($from ? ", allow_from $from in mode allow" : '');
        my $what = $bytes eq $name_message ? 'a name message' : 'anything else';
        is(length $client->($bytes), $echoed, "$with, $what is " . ($echoed ? 'read and answered' : 'refused'));
        is(scalar(() = $alpha->log(qr/event=refused .*node=evil/)), 1, 'and the log says so') if !$echoed;
        $node->kill;
    }
};

done_testing;
