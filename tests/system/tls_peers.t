#!/usr/bin/perl
# A channel of ours (tests/peers/channel.c) over a real socket with other people's TLS: OpenSSL's s_client and s_server,
# GnuTLS's gnutls-cli and gnutls-serv. Both versions, both roles, KeyUpdates from either side, attempts to renegotiate.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(sleep);

use constant {
    PORT      => 7001,           # in a network namespace of our own
    PATIENCE  => 20,
    CHUNK     => 256 * 1024,     # what both directions hold together, so that nobody must read and write at once
    LEAST     => 65536,          # the least rekey_bytes that a policy may have
    PLENTY    => 68719476736,
    S_CLIENT_CHUNKS => 300,
};

my $lab     = Distguard::Lab->new;
my $channel = $lab->build . '/tests/peers/channel';
my $pair    = $lab->pki->issue('peer', '--dns', 'peer.lab');
my $ca      = $lab->pki->ca;
my @openssl = ('-CAfile', $ca, '-cert', "$pair.pem", '-key', "$pair.key", '-verify_return_error');
my @gnutls  = ("--x509cafile=$ca", "--x509certfile=$pair.pem", "--x509keyfile=$pair.key");
my %only    = (
    '1.3' => { openssl => '-tls1_3', gnutls => '--priority=NORMAL:-VERS-ALL:+VERS-TLS1.3' },
    '1.2' => { openssl => '-tls1_2', gnutls => '--priority=NORMAL:-VERS-ALL:+VERS-TLS1.2' },
);
my $files = 0;

# The path of a policy that lets both versions in.
sub policy {
    my (%tls) = (rekey_bytes => PLENTY, keyupdate_limit => 10, @_);
    my $path = $lab->dir . '/lab/policy' . ++$files . '.conf';
    open(my $file, '>', $path) or die "$path: $!";
    print {$file} <<"    END";
        version = 1;
        profiles: { p: { mode = "require"; tls: {
            certificate = "$pair.pem"; private_key = "$pair.key"; ca = "$ca"; min_version = "1.2";
            rekey_bytes = $tls{rekey_bytes}L; keyupdate_limit = $tls{keyupdate_limit};
        }; }; };
    END
    close $file or die "$path: $!";
    return $path;
}

# A program with an input that stays open: { process, input }.
sub start {
    my (@argv) = @_;
    pipe(my $read, my $write) or die "pipe: $!";
    my $process = Distguard::Lab::Process->start(dir => $lab->dir . '/lab', argv => \@argv, pipes => { 0 => $read });
    return { process => $process, input => $write };
}

sub hang_up { close delete $_[0]{input} }

sub say_to {
    my ($program, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (length $bytes) {
        my $count = syswrite($program->{input}, $bytes) // return;
        substr($bytes, 0, $count) = '';
    }
}

sub start_echo {
    my (@policy) = @_;
    my $echo = start($channel, policy(@policy), 'echo');
    $echo->{port} = wait_until('the channel listens', PATIENCE, sub { $echo->{process}->out =~ /^(\d+)\n/ && $1 });
    return $echo;
}

# Waits until a program has printed something, on either output.
sub shows {
    my ($program, $pattern, $what) = @_;
    my $process = $program->{process};
    ok(wait_for(PATIENCE, sub { ($process->out . $process->err) =~ $pattern }), $what) or diag $process->describe;
}

# One line there and back.
sub echoes {
    my ($program, $line) = @_;
    say_to($program, "$line\n");
    shows($program, qr/^\Q$line\E\r?$/m, "'$line' comes back");
}

# OpenSSL's program, run with -msg; `number` are all that it has sent so far.
sub has_sent_key_update {
    my ($program, $number) = @_;
    wait_until("KeyUpdate $number is sent", PATIENCE, sub {
        my @sent = $program->{process}->out =~ /^>>> .*KeyUpdate/mg;
        return @sent == $number;
    });
}

# How the channel ended, and what it had agreed.
sub ends {
    my ($program, $pattern, $what) = @_;
    my $process = $program->{process};
    $process->wait(PATIENCE) or $process->kill;
    like($process->err, $pattern, $what) or diag $process->describe;
}

sub s_client {
    my ($version, $echo, @options) = @_;
    return start(qw(openssl s_client), $only{$version}{openssl}, @openssl, '-connect', "127.0.0.1:$echo->{port}", @options);
}

sub gnutls_cli {
    my ($version, $echo, @options) = @_;
    return start('gnutls-cli', $only{$version}{gnutls}, @gnutls, '--verify-hostname=peer.lab', '--inline-commands',
        "--port=$echo->{port}", @options, '127.0.0.1');
}

# A server of somebody else's, listening.
sub start_server {
    my (@argv) = @_;
    my $server = start(@argv);
    my $hex = sprintf '%04X', PORT;
    wait_until("$argv[0] listens", PATIENCE, sub {
        !$server->{process}->running && die $server->{process}->describe;
        return join('', map { Distguard::Lab::Process::slurp("/proc/net/$_") } qw(tcp tcp6)) =~ /:$hex \S+:0000 0A /;
    });
    return $server;
}

# --- other people's clients ---

subtest 'KeyUpdates of s_client' => sub {
    my $echo = start_echo();
    my $client = s_client('1.3', $echo, '-msg');
    echoes($client, 'first');
    for my $turn (1 .. 4) {
        my $command = $turn % 2 ? 'K' : 'k';    # K wants one in return
        say_to($client, "$command\n");
        has_sent_key_update($client, $turn);
        echoes($client, "after $turn");
    }
    my @received = $client->{process}->out =~ /^<<< .*KeyUpdate/mg;
    is(scalar @received, 2, 'each that was asked for was sent, and no more');
    hang_up($client);
    ends($echo, qr/^closed TLSv1.3 TLS_AES_256_GCM_SHA384 \S+$/m, 'and the channel was closed in good order');
    $client->{process}->wait(PATIENCE);
};

subtest 'KeyUpdates of gnutls-cli' => sub {
    my $echo = start_echo();
    my $client = gnutls_cli('1.3', $echo);
    echoes($client, 'first');
    for my $command (qw(rekey rekey1 rekey)) {
        my @before = $client->{process}->out =~ /Rekey was completed/g;
        say_to($client, "^$command^\n");
        wait_until('gnutls-cli has sent it', PATIENCE, sub {
            my @now = $client->{process}->out =~ /Rekey was completed/g;
            return @now > @before;
        });
        echoes($client, "after $command " . @before);
    }
    hang_up($client);
    ends($echo, qr/^closed TLSv1.3 /m, 'and the channel was closed in good order');
    $client->{process}->wait(PATIENCE);
};

subtest 's_client may not renegotiate TLS 1.2' => sub {
    my $echo = start_echo();
    my $client = s_client('1.2', $echo, '-msg');
    echoes($client, 'first');
    echoes($client, 'second');
    say_to($client, "R\n");
    shows($client, qr/^<<< TLS 1.2, Alert .*no_renegotiation/m, 'it is told so');
    ends($echo, qr/^peer refused with alert: handshake failure TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 \S+$/m,
        'which it does not accept');
    hang_up($client);
    $client->{process}->wait(PATIENCE);
};

subtest 'gnutls-cli may not renegotiate TLS 1.2' => sub {
    my $echo = start_echo();
    my $client = gnutls_cli('1.2', $echo);
    echoes($client, 'first');
    echoes($client, 'second');
    say_to($client, "^renegotiate^\n");
    shows($client, qr/No renegotiation is allowed/, 'it is told so');
    # It asks again and again.
    ends($echo, qr/^peer asks to renegotiate more often than tls.keyupdate_limit lets it TLSv1.2 /m, 'until it is ended');
    hang_up($client);
    $client->{process}->wait(PATIENCE);
};

# --- other people's servers ---

for my $version ('1.3', '1.2') {
    subtest "s_server, TLS $version" => sub {
        my $server = start_server(qw(openssl s_server), $only{$version}{openssl}, @openssl, qw(-Verify 1 -msg -accept),
            '127.0.0.1:' . PORT);
        my $client = start($channel, policy(), 'client', PORT);
        say_to($client, "ours\n");
        shows($server, qr/^ours$/m, 'it hears us');
        say_to($server, "theirs\n");
        shows($client, qr/^theirs$/m, 'and we hear it');
        for my $turn ($version eq '1.3' ? (1 .. 4) : ()) {
            say_to($server, $turn % 2 ? "K\n" : "k\n");
            has_sent_key_update($server, $turn);
            say_to($server, "theirs $turn\n");
            shows($client, qr/^theirs $turn$/m, "we hear it after its KeyUpdate $turn");
            say_to($client, "ours $turn\n");
            shows($server, qr/^ours $turn$/m, 'and it hears us');
        }
        hang_up($client);
        ends($client, qr/ TLSv\Q$version\E /, 'we spoke the version that was to be');
        $server->{process}->stop;
    };

    subtest "gnutls-serv, TLS $version" => sub {
        my $server = start_server('gnutls-serv', $only{$version}{gnutls}, @gnutls, '--echo', '--require-client-cert',
            '--port=' . PORT);
        my $client = start($channel, policy(), 'client', PORT);
        echoes($client, "line $_") for 1 .. 5;
        hang_up($client);
        ends($client, qr/ TLSv\Q$version\E /, 'we spoke the version that was to be');
        $server->{process}->stop;
    };
}

# --- keys that are worn out soon ---

# Text in which no line is a command of anybody's.
sub chunk {
    my ($number) = @_;
    my $line = sprintf("%015d\n", $number);
    return $line x (CHUNK / length $line);
}

# Chunks there and back; what came must be what was sent.
sub carry {
    my ($client, $count, $pause) = @_;
    my $process = $client->{process};
    my $start = length $process->out;
    my $sent = '';
    for my $number (1 .. $count) {
        my $chunk = chunk($number);
        say_to($client, $chunk);
        $sent .= $chunk;
        wait_for(PATIENCE, sub { ((-s $process->{out}) // 0) >= $start + length $sent || !$process->running }) or last;
        sleep($pause // 0);
    }
    ok(substr($process->out, $start) eq $sent, "${\length $sent} bytes come back as they were") or diag $process->err;
}

subtest 's_client follows more than a thousand of our KeyUpdates' => sub {
    my $echo = start_echo(rekey_bytes => LEAST);
    my $log = $lab->dir . '/lab/messages';
    my $client = s_client('1.3', $echo, '-quiet', '-msg', '-msgfile', $log);
    carry($client, S_CLIENT_CHUNKS);
    my @updates = Distguard::Lab::Process::slurp($log) =~ /^<<< .*KeyUpdate/mg;
    cmp_ok(scalar @updates, '>=', S_CLIENT_CHUNKS * CHUNK / LEAST - 1, 'a new key for every 64 KiB') or diag "log: $log";
    hang_up($client);
    $client->{process}->stop;
    $echo->{process}->wait(PATIENCE);
};

subtest 'gnutls-cli follows our KeyUpdates' => sub {
    # It ends a connection that brings more than some eight a second ("Too many handshake packets"): a thousand take
    # five minutes.
    my ($rekey, $chunks, $pause) = $ENV{DISTGUARD_LONG_TESTS} ? (LEAST, 260, 1.1) : (1 << 20, 20, 0);
    my $echo = start_echo(rekey_bytes => $rekey);
    my $client = gnutls_cli('1.3', $echo, '--logfile=' . $lab->dir . '/lab/gnutls.log');
    carry($client, $chunks, $pause);
    hang_up($client);
    ends($echo, qr/^closed TLSv1.3 /m, 'and the channel was closed in good order');
    $client->{process}->wait(PATIENCE);
};

subtest 'two channels of ours follow each other through thousands' => sub {
    my $echo = start_echo(rekey_bytes => LEAST, keyupdate_limit => 1);
    my $client = start($channel, policy(rekey_bytes => LEAST, keyupdate_limit => 1), 'client', $echo->{port});
    carry($client, 400);
    hang_up($client);
    ends($_, qr/^closed TLSv1.3 /m, 'closed in good order') for $client, $echo;
};

done_testing;
