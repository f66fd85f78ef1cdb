#!/usr/bin/perl
# In mode require: who has no right to be here is refused before the node reads a byte, with one log line that says who
# and why; the node lives on, burns no processor time meanwhile, and good peers still join.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(sleep);

use constant {
    HANDSHAKE_TIMEOUT => 1.5,
    STALL_WATCHED     => 1.0,     # seconds for which a stalled peer is watched, within the handshake timeout
    BUSY              => 0.3,     # share of a processor that a node with nothing to do never takes
    RELAY_PORT        => 7000,
    NO_LIMIT          => 1 << 30,
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma, $stranger) = map { $lab->host($_) } qw(alpha beta gamma delta);
plan skip_all => 'nothing is refused without the library' if !$alpha->shim_env;

$alpha->shim(conf => { tls => { handshake_timeout => HANDSHAKE_TIMEOUT } });
$gamma->shim(pki => $lab->pki('other'));

# A short setup time, for the peers that TLS lets in and that then say nothing.
# Without global: in OTP 25 it runs in circles by itself, plain distribution or not, when two nodes part and meet again.
my $a = $alpha->node('a', long => 1, shim => 1, explicit => 1, args => [qw(-kernel net_setuptime 3)]);
my $good = $beta->node('good', long => 1, shim => 1, explicit => 1);
my ($port) = $a->call('erl_epmd:port_please("a", {127,0,0,1})') =~ /^\{port,(\d+),/ or die 'no port';
# A peer's refusals for one reason are logged once a minute: each stranger has an address of its own.
my @sources = $stranger->more_addresses(19);
my $source;
my $beta_certificate = $lab->pki->certificate_of($beta);

my $messages;    # how many lines the log has had so far

sub refusals { $alpha->log(qr/event=\S*refus/) }

# What every refusal must leave behind: one line more, that names the peer and, by `reason`, why.
sub refused_once {
    my ($peer, $reason) = @_;
    my @new;
    wait_for(10, sub { @new = refusals(); splice @new, 0, $messages; @new });
    # A second line would follow the first at once, or when the peer's connection ends.
    sleep 0.2;
    @new = refusals();
    splice @new, 0, $messages;
    is(scalar @new, 1, 'one log line') or diag @new, 'the whole log: ', $alpha->log;
    like($new[0] // '', qr/\b\Q$peer\E\b/, 'names the peer');
    like($new[0] // '', $reason, 'says why');
}

sub good_peer_joins {
    is($good->call('net_kernel:connect_node(' . $a->atom . ')'), 'true', 'a good peer joins');
    is($good->call('erlang:disconnect_node(' . $a->atom . ')'), 'true', 'and leaves');
    ok($a->alive, 'the node lives on');
}

sub refusal {
    my ($what, $code) = @_;
    subtest $what => sub {
        $messages = () = refusals();
        $source = shift @sources // die 'no address left';
        $code->();
        good_peer_joins();
    };
}

# told => 1: it says on its standard output when the handshake is through.
sub s_client {
    my ($host, %option) = @_;
    my $to = $option{connect} // $alpha->ip . ":$port";
    return $host->start_process(
        ['openssl', 's_client', '-connect', $to, ($option{told} ? () : '-quiet'), '-ign_eof', '-CAfile', $lab->pki->ca,
            $host == $stranger && !$option{connect} ? ('-bind', $source) : (), @{ $option{args} // [] }],
        input => $option{input});
}

sub with_certificate { ['-cert', "$_[0].pem", '-key', "$_[0].key"] }

# A bare TCP client that sends bytes and reads until it is hung up on. Prints what it read.
sub raw_client {
    my ($bytes) = @_;
    return $stranger->start_process(['perl', '-MIO::Socket::INET', '-e', <<'    END', $alpha->ip, $port, $source], input => $bytes);
        my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], LocalAddr => $ARGV[2]) or die $@;
        local $/;
        syswrite $socket, <STDIN> // '';
        $| = 1;
        print "connected\n";
        print scalar <$socket> // '';
    END
}

sub hung_up_on {
    my ($client, $seconds) = @_;
    ok($client->wait($seconds // 10), 'the peer is hung up on') or diag $client->describe;
}

refusal('a node without the library' => sub {
    my $plain = $beta->node('plain', long => 1);
    is($plain->call('net_kernel:connect_node(' . $a->atom . ')'), 'false', 'it does not get in');
    refused_once($beta->ip, qr/plaintext/);
    $plain->stop;
});

refusal('a TLS client without a certificate' => sub {
    my $client = s_client($stranger);
    hung_up_on($client);
    like($client->err, qr/alert/, 'with a TLS alert');
    refused_once($source, qr/certificate/);
});

refusal('a TLS client with a certificate of another authority' => sub {
    my $client = s_client($gamma, args => with_certificate($lab->pki('other')->certificate_of($gamma)));
    hung_up_on($client);
    refused_once($gamma->ip, qr/certificate/);
});

refusal('a TLS client with a certificate that it signed itself' => sub {
    my $own = $lab->temp_path('own');
    $lab->must(qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=beta),
        '-addext', 'subjectAltName=DNS:beta', '-keyout', "$own.key", '-out', "$own.pem");
    my $client = s_client($stranger, args => with_certificate($own));
    hung_up_on($client);
    refused_once($source, qr/certificate/);
});

refusal('a TLS client with a certificate that has expired' => sub {
    my $old = $lab->temp_path('old');
    my ($dir, $config) = ($lab->pki->dir, "$old.cnf");
    open(my $extensions, '>', $config) or die $!;
    print {$extensions} "subjectAltName=DNS:beta\nextendedKeyUsage=clientAuth,serverAuth\n";
    close $extensions;
    $lab->must(qw(openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=beta),
        '-keyout', "$old.key", '-out', "$old.csr");
    $lab->must(qw(openssl x509 -req -days 0 -set_serial 77), '-in', "$old.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key",
        '-extfile', $config, '-out', "$old.pem");
    sleep 1.1;
    my $client = s_client($stranger, args => with_certificate($old));
    hung_up_on($client);
    refused_once($source, qr/expired/);
});

refusal('a TLS 1.2 client' => sub {
    my $client = s_client($stranger, args => ['-tls1_2', @{ with_certificate($beta_certificate) }]);
    hung_up_on($client);
    refused_once($source, qr/version|protocol/);
});

refusal('a node of another authority' => sub {
    my $foreign = $gamma->node('foreign', long => 1, shim => 1);
    is($foreign->call('net_kernel:connect_node(' . $a->atom . ')'), 'false', 'it does not get in');
    refused_once($gamma->ip, qr/unknown CA/);
    $foreign->stop;
});

my %garbage = (
    'an HTTP request'        => "GET / HTTP/1.0\r\n\r\n",
    'zeros'                  => "\0" x 4096,
    'a name message'         => pack('n/a*', 'N' . pack('N N N n/a*', 0xd, 0x07df7fbd, 1, "evil\@${\$beta->ip}")),
    'a TLS record too large' => "\x16\x03\x01\xff\xff" . 'x' x 4096,
    'a TLS alert'            => "\x15\x03\x01\x00\x02\x02\x28",
    'application data first' => "\x17\x03\x03\x00\x20" . 'x' x 32,
);
for my $what (sort keys %garbage) {
    refusal("$what instead of TLS" => sub {
        my $client = raw_client($garbage{$what});
        hung_up_on($client);
        unlike($client->out, qr/sok|sname/, 'and was told nothing');
        refused_once($source, qr/reason=/);
    });
}

# A peer that stops: the node must neither wait for ever nor poll without end.
sub stalls {
    my ($client, %option) = @_;
    my $before = $a->cpu;
    sleep STALL_WATCHED;
    cmp_ok($a->cpu - $before, '<', BUSY * STALL_WATCHED, 'the node does not run in circles meanwhile');
    hung_up_on($client, $option{within} // HANDSHAKE_TIMEOUT + 5);
}

# An openssl client with a good certificate whose bytes stop after `limit`. Gives the process that is hung up on.
sub stopping_client {
    my ($limit, $input) = @_;
    my $relay = $stranger->spawn($lab->root . '/tests/tools/stalling-relay', RELAY_PORT, $alpha->ip, $port, $limit, $source);
    wait_until('the relay listens', 10, sub { $relay->out =~ /listening/ });
    my $client = s_client($stranger, connect => '127.0.0.1:' . RELAY_PORT, args => with_certificate($beta_certificate),
        input => $input, told => $limit >= NO_LIMIT);
    wait_until('the client has stopped', 10, sub { $relay->out =~ /stalled/ }) if $limit < NO_LIMIT;
    return ($relay, $client);
}

refusal('a peer that says nothing at all' => sub {
    stalls(raw_client(''));
    refused_once($source, qr/reason=/);
});

refusal('a peer that stops in the middle of its ClientHello' => sub {
    my ($relay) = stopping_client(100);
    stalls($relay);
    refused_once($source, qr/reason=/);
});

refusal('a peer that stops within the header of a record' => sub {
    my ($relay) = stopping_client(3);
    stalls($relay);
    refused_once($source, qr/reason=/);
});

refusal('a peer that stops in the middle of its certificate' => sub {
    # A ClientHello of openssl's is some 300 bytes long, what follows is more than 600.
    my ($relay) = stopping_client(600);
    stalls($relay);
    refused_once($source, qr/reason=/);
});

# Here TLS is done and the peer admitted: the node's own setup time ends it, and it is no refusal of ours.
subtest 'an admitted peer that stops in the middle of a record' => sub {
    $source = $stranger->ip;
    my ($whole, $client) = stopping_client(NO_LIMIT);
    wait_until('the handshake is through', 10, sub { $client->out =~ /SSL handshake has read/ });
    $client->kill;
    $whole->wait(10);
    my ($handshake) = $whole->out =~ /^passed (\d+)/m;
    ok($handshake, "a handshake takes $handshake bytes");
    my ($relay) = stopping_client($handshake + 60, 'x' x 500);
    stalls($relay, within => 10);
    good_peer_joins();
};

subtest 'many at once' => sub {
    my @crowd = map { raw_client($_ % 2 ? "\x16\x03\x01\x00" : '') } 1 .. 40;
    wait_until('all are connected', 20, sub { !grep { $_->out !~ /connected/ } @crowd });
    good_peer_joins();
    hung_up_on($_) for @crowd;
};

done_testing;
