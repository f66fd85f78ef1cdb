#!/usr/bin/perl
# `distguard scan` says what a stranger sees: of guarded and unguarded nodes and EPMDs, of hosts that are not there, and
# of servers that mean no good. It logs in nowhere.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(start_epmd ask names_req registration);
use Distguard::Lab::Reach qw(node_port);
use Distguard::Lab::Wait qw(wait_until);
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(time);

use constant { SAFE => 0, OPEN => 1, UNCLEAR => 2 };

my $lab = Distguard::Lab->new;
my ($guarded, $open, $native, $bare, $walled, $hostile, $stranger) =
    map { $lab->host($_) } qw(guarded open native bare walled hostile stranger);
plan skip_all => 'nothing is guarded without the library' if !$guarded->shim_env;

sub scan { $stranger->run($lab->tool, 'scan', @_) }

# Scans and gives the hosts of the JSON that came.
sub seen {
    my ($status, @arguments) = @_;
    my $run = scan('--timeout', 4, @arguments);
    is($run->status, $status, "exit status of scan @arguments") or diag $run->describe;
    my $found = eval { decode_json($run->out) } or diag $run->describe;
    return @{ $found->{hosts} // [] };
}

subtest 'an unguarded host' => sub {
    my $node = $open->node('victim', long => 1);
    my ($host) = seen(OPEN, $open->ip);
    is($host->{epmd}{seen}, 'plaintext', 'EPMD tells names');
    my ($victim) = @{ $host->{distribution} };
    is("$victim->{name} $victim->{port} $victim->{seen}", 'victim ' . node_port($open, 'victim') . ' plaintext', 'and a node takes plaintext');
    ok($victim->{open}, 'which is open');
    is($host->{host}, $open->ip, 'the host as it was asked for');

    is($node->call('nodes(connected)'), '[]', 'the node has met nobody');
    is($node->process->err . $node->process->out, '', 'and has nothing to report') or diag $node->process->describe;
    is(scan('--rate', 1, $open->ip)->status, OPEN, 'slowly, too');
    my @both = seen(OPEN, 'open.lab');
    is(join(' ', sort map { $_->{address} } @both), join(' ', sort $open->addresses), 'each address of a name is looked at');
    $node->stop;
    $open->stop_epmd;
};

subtest 'a guarded host' => sub {
    my $node = $guarded->node('secret', long => 1, shim => 1);
    my $port = node_port($guarded, 'secret');
    my ($host) = seen(SAFE, '--ports', $port, $guarded->ip);
    is($host->{epmd}{seen}, 'tls', 'EPMD speaks TLS');
    is($host->{epmd}{tls}{stranger}, 'refused', 'and refuses strangers');
    my ($secret) = @{ $host->{distribution} };
    is($secret->{seen}, 'tls', 'the node speaks TLS alone') or diag explain($host);
    is($secret->{name}, undef, 'its name is unknown');
    my $tls = $secret->{tls};
    is($tls->{version}, 'TLSv1.3', 'the version');
    like($tls->{certificate}, qr/guarded\.lab/, 'the certificate that it has shown');
    like($tls->{expires}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'until when it holds');
    is($tls->{stranger}, 'refused', 'and that it refuses strangers');
    like($tls->{alert}, qr/certificate/, 'with an alert');
    ok($node->alive, 'the node lives');
    is(scalar($guarded->log(qr/event=admitted/)), 0, 'nobody was admitted');
    cmp_ok(scalar(() = $guarded->log(qr/event=refused peer=\Q${\$stranger->ip}\E/)), '>', 0, 'its log has the visit');
    $node->stop;
};

subtest 'between the modes' => sub {
    for my $mode (qw(allow prefer)) {
        $bare->shim(conf => { mode => $mode });
        my $node = $bare->node($mode, long => 1, shim => 1);
        my ($host) = seen(OPEN, $bare->ip);
        is($host->{epmd}{seen}, 'plaintext', "$mode: EPMD tells names");
        my ($found) = @{ $host->{distribution} };
        is("$found->{name} $found->{seen}", "$mode both", "$mode: the node takes TLS and plaintext") or diag explain($host);
        ok($found->{open}, "$mode: which is open");
        is($node->call('nodes(connected)'), '[]', "$mode: it has met nobody");
        $node->stop;
        $bare->stop_epmd;
    }
};

subtest 'addresses that are kept out' => sub {
    $bare->shim(conf => { distribution => { allow_from => [ $guarded->ip ] } });
    my $node = $bare->node('picky', long => 1, shim => 1);
    my ($host) = seen(SAFE, '--ports', node_port($bare, 'picky'), $bare->ip);
    is($host->{epmd}{seen}, 'hangs-up', 'EPMD hangs up');
    is($host->{distribution}[0]{seen}, 'hangs-up', 'and so does the node');
    $node->stop;
    $bare->stop_epmd;
};

subtest 'TLS for anybody' => sub {
    my $own = $lab->temp_path('own');
    $lab->must(qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=native),
        '-addext', 'subjectAltName=DNS:native.lab', '-keyout', "$own.key", '-out', "$own.pem");
    my $config = $lab->temp_path('conf');
    open(my $file, '>', $config) or die $!;
    print {$file} qq([{server, [{certfile, "$own.pem"}, {keyfile, "$own.key"}]}, {client, [{verify, verify_none}]}].\n);
    close $file;
    my $node = $native->node('native', long => 1, args => ['-proto_dist', 'inet_tls', '-ssl_dist_optfile', $config]);
    my ($host) = seen(OPEN, $native->ip);
    my ($found) = @{ $host->{distribution} };
    is($found->{seen}, 'tls', 'the node of OTP\'s own TLS speaks TLS alone') or diag explain($host);
    is($found->{tls}{stranger}, 'admitted', 'and asks nobody for a certificate');
    like($found->{tls}{certificate}, qr/native\.lab/, 'its certificate');
    $node->stop;
    $native->stop_epmd;
};

subtest 'hosts that are not there' => sub {
    my ($host) = seen(SAFE, $bare->ip);
    is($host->{epmd}{seen}, 'closed', 'no EPMD');
    $walled->must(qw(ip route add blackhole), $stranger->ip . '/32');
    my $start = time;
    ($host) = seen(SAFE, '--timeout', 1, $walled->ip);
    is($host->{epmd}{seen}, 'filtered', 'a wall');
    cmp_ok(time - $start, '<', 20, 'is given up in time');
    ($host) = seen(UNCLEAR, '10.99.0.1');
    is($host->{epmd}{seen}, 'unreachable', 'a network without a route');
    like($host->{epmd}{error}, qr/unreachable/, 'and why');
    my $run = scan('no-such-host.lab', $bare->ip);
    is($run->status, UNCLEAR, 'a name without an address');
    like($run->err, qr/no-such-host\.lab: no address/, 'is said') or diag $run->describe;
    like($run->out, qr/closed/, 'and the other host is looked at');
};

my %server;

sub serve {
    my ($port, $kind) = @_;
    my $server = $hostile->spawn($lab->root . '/tests/tools/hostile-server', $port, $kind);
    wait_until("$kind listens", 10, sub { die $server->describe if !$server->running; $server->out =~ /listening/ });
    return $server{$kind} = $server;
}

subtest 'servers that mean no good' => sub {
    my %wanted = (
        endless => [OPEN, 'plaintext'], flood => [UNCLEAR, 'other'], huge => [UNCLEAR, 'other'],
        escape => [OPEN, 'plaintext'], garbage => [UNCLEAR, 'other'], stall => [UNCLEAR, 'silent'],
        drip => [OPEN, 'plaintext'], many => [OPEN, 'plaintext'], banner => [UNCLEAR, 'other'],
        half => [OPEN, 'plaintext'], tlsjunk => [UNCLEAR, 'tls'],
    );
    my $port = 6000;
    my %at = map { ($_ => ++$port) } sort keys %wanted;
    serve($at{$_}, $_) for sort keys %at;
    my $start = time;
    my $run = scan('--timeout', 2, '--rate', 1000, map { $hostile->ip . ":$at{$_}" } sort keys %at);
    cmp_ok(time - $start, '<', 30, 'all of them at once are left in time');
    is($run->status, OPEN, 'some of them tell names');
    unlike($run->out, qr/[^\n\x20-\x7e]/, 'no byte of theirs reaches the terminal') or diag $run->out;
    my %found = map { $_->{epmd}{port} => $_ } @{ (eval { decode_json($run->out) } // {})->{hosts} // [] };
    for my $kind (sort keys %wanted) {
        my $host = $found{ $at{$kind} };
        is($host->{epmd}{seen}, $wanted{$kind}[1], "$kind: $wanted{$kind}[1]") or diag explain($host);
        cmp_ok(scalar @{ $host->{distribution} // [] }, '<=', 256, "$kind: is not followed for ever");
        ok($host->{cut}, "$kind: what is left out is said") if $kind =~ /^(?:endless|many|half|drip|huge)$/;
        is($host->{distribution}[0]{name}, '\x1b[2Jevil\x07\xc2\x9b\x0d\\\\', 'what would steer a terminal is escaped') if $kind eq 'escape';
    }
    for my $kind (qw(flood escape tlsjunk)) {
        my $alone = scan('--timeout', 2, $hostile->ip . ":$at{$kind}");
        is($alone->status, $wanted{$kind}[0], "$kind: its exit status alone") or diag $alone->describe;
    }
};

subtest 'ports that mean no good' => sub {
    serve(5001, 'stall');
    serve(5002, 'flood');
    serve(5003, 'tlsjunk');
    serve(5004, 'banner');
    serve(5000, 'ports');
    my ($host) = seen(OPEN, '--timeout', 2, $hostile->ip . ':5000');
    my %seen = map { $_->{name} => $_->{seen} } @{ $host->{distribution} };
    is_deeply(\%seen, { stall => 'silent', flood => 'other', tlsjunk => 'tls', banner => 'other', none => 'closed' }, 'each is what it is')
        or diag explain($host);
};

subtest 'on a terminal' => sub {
    my $epmd = start_epmd($bare);
    my $run = $stranger->run('script', '--quiet', '--return', '--command', "${\$lab->tool} scan --timeout 2 ${\$bare->ip} ${\$hostile->ip}:6010", '/dev/null');
    is($run->status, OPEN, 'the status') or diag $run->describe;
    like($run->out, qr/^(?:.*\e\[K)?\Q${\$bare->ip}\E\r?\n +4369  EPMD +OPEN: plaintext/m, 'a table') or diag $run->describe;
    $run = $stranger->run('script', '--quiet', '--return', '--command', "${\$lab->tool} scan --json ${\$bare->ip}", '/dev/null');
    like($run->out, qr/"seen": "plaintext"/, 'JSON where it is asked for') or diag $run->describe;
    $epmd->stop;
};

subtest 'mistakes' => sub {
    for (['no host'], ['no number', '--timeout', 'soon', 'a'], ['no time', '--timeout', 0, 'a'], ['too fast', '--rate', 5000, 'a']) {
        my ($what, @arguments) = @$_;
        my $run = scan(@arguments);
        is($run->status, UNCLEAR, $what);
        like($run->err, qr/^usage: distguard scan/m, 'is explained');
    }
    for ('10.0.0.1:0', '10.0.0.1:99999', ':4369', '[::1', '') {
        my $run = scan($_);
        ok($run->status == UNCLEAR && $run->err =~ /is no host/, "\"$_\" is no host") or diag $run->describe;
    }
    like(scan('--ports', '9-1', $bare->ip)->err, qr/--ports: "9-1"/, 'a list of ports that is none');
    like(scan($_)->err, qr/^distguard: \Q$_\E is this very host/, "a look at oneself is not a stranger's ($_)") for '127.0.0.1', '::1', $stranger->ip;
    unlike(scan($bare->ip)->err, qr/this very host/, 'at another it is');
};

done_testing;
