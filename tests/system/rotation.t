#!/usr/bin/perl
# Certificates, anchors, revocation lists and policies replaced under a running cluster of three, by leading a link
# elsewhere, as Kubernetes does: what is new counts for new connections, what is broken does not count, and the cluster
# loses neither a message nor a connection. DISTGUARD_LONG_TESTS=1 breaks everything at every step.
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
    HANDSHAKES => 200,
    ALL        => $ENV{DISTGUARD_LONG_TESTS},
    # Files younger than a tick of their file system's clock are read once more a second later, which is told, too.
    SETTLED => 0.03,
};

my @FILES = qw(node.pem node.key ca.pem crl.pem);

my $lab = Distguard::Lab->new;
my @hosts = map { $lab->host($_) } qw(alpha beta gamma delta epsilon);
my ($alpha, $beta, $gamma, $delta, $epsilon) = @hosts;
plan skip_all => 'there is nothing to replace without the library' if !$alpha->shim_env;

my ($old, $new) = map { $lab->pki($_) } qw(old new);
my @old_anchor = ('ca.pem' => [$old->ca]);
my @both = ('ca.pem' => [$old->ca, $new->ca]);
my @new_anchor = ('ca.pem' => [$new->ca]);
my %set;     # of each host, what it has when all is well
my %seen;    # of each host and program, how often it has said what
my $versions = 0;

replace($_, certificate_of($old, $_), @old_anchor) for @hosts;
policy($_) for @hosts;

my %node;
# With time for a crowd of handshakes.
$node{ $_->name } = $_->start_node('node', long => 1, shim => 1, args => [qw(-kernel net_setuptime 60)]) for $alpha, $beta, $gamma;
$node{ $_->name } = $_->start_node('visitor', long => 1, shim => 1, args => ['-hidden']) for $delta, $epsilon;
$_->wait_up for values %node;
my ($a, $b, $c, $visitor, $stale) = map { $node{ $_->name } } @hosts;
my @cluster = ($a, $b, $c);

$a->call("[pong = net_adm:ping(N) || N <- [${\$b->atom}, ${\$c->atom}]]");
wait_until('the three are connected', 10, sub { !grep { others($_) != 2 } @cluster });
for my $node (@cluster) {
    my $peers = join ', ', map { $_->atom } grep { $_ != $node } @cluster;
    $node->call("dg_lab_steady:start([$peers])");
}

subtest 'the old CA' => sub {
    all_visit($visitor, $stale);
    broken(ALL ? () : ('a certificate of garbage', 'no anchors'));
};

subtest 'both CAs' => sub {
    replace($_, @both) for @hosts;
    await_reload($_) for @hosts;
    all_visit($visitor, $stale);
    for my $host ($alpha, $beta, $gamma, $delta) {
        replace($host, certificate_of($new, $host));
        await_reload($host);
        all_visit($host == $delta ? $visitor : $stale);
    }
    broken(ALL ? () : ('the key of another', 'half a certificate'));
};

subtest 'the new CA' => sub {
    replace($_, @new_anchor) for $alpha, $beta, $gamma, $delta;
    await_reload($_) for $alpha, $beta, $gamma, $delta;
    all_visit($visitor);
    ok(!joins($stale, $_), 'who still has a certificate of the old CA does not join') for @cluster;
    ok(!joins($_, $stale), 'and is not joined') for @cluster;
    broken(ALL ? () : ('a key that others can read'));
};

subtest 'files written in place' => sub {
    my $conf = $alpha->conf_file;
    policy($alpha, local => 'deny');
    await_reload($alpha);
    my $whole = Distguard::Lab::Process::slurp($conf);
    write_file($conf, substr $whole, 0, 100);
    await($alpha, 'reload_failed');
    visits($visitor, $a);
    write_file($conf, $whole);
    await_reload($alpha);
    visits($visitor, $a);
};

subtest 'another policy' => sub {
    policy($alpha, distribution => { allow_from => [map { $_->ip } $beta, $gamma] });
    await_reload($alpha);
    ok(!joins($visitor, $a), 'allow_from keeps out who could join before');
    policy($alpha, peers => [map { { dns => $_->name . '.lab' } } $beta, $gamma]);
    await_reload($alpha);
    ok(!joins($visitor, $a), 'and so do peers');
    policy($alpha, distribution => { bind => 'interface:eth0' });
    await_reload($alpha);
    visits($visitor, $a);
    like(join('', $alpha->log(qr/beam.*event=needs_restart/)), qr/keys="distribution\.bind, epmd\.bind"/,
        'what cannot change is named');
    policy($alpha);
    await_reload($alpha);
    is(others($_), 2, 'nobody was cut off') for @cluster;
};

subtest 'a revoked certificate' => sub {
    my @hosts = ($alpha, $beta);
    replace($_, 'crl.pem' => [crl()]) for @hosts;
    policy($_, tls => { crl => $_->dir . '/tls/crl.pem' }) for @hosts;
    await_reload($_) for @hosts;
    visits($visitor, $a);
    is($visitor->call("net_kernel:connect_node(${\$a->atom})"), 'true', 'before it is revoked it connects');
    replace($_, 'crl.pem' => [crl($new->certificate_of($delta) . '.pem')]) for @hosts;
    await_reload($_) for @hosts;
    is($visitor->call("rpc:call(${\$a->atom}, erlang, node, [])"), $a->atom, 'a running connection stays');
    ok(!joins($visitor, $b), 'it does not join another node');
    part($visitor, $a);
    ok(!joins($visitor, $a), 'and, once parted, not the same one again');
    ok(!joins($a, $visitor), 'in neither direction');
    ok(wait_for(5, sub { $alpha->log(qr/event=refused.*revoked/) }), 'the log says why') or diag $alpha->log;
    replace($_, 'crl.pem' => [crl()]) for @hosts;
    await_reload($_) for @hosts;
    visits($visitor, $a);
};

subtest HANDSHAKES . ' handshakes, and a reload while they run' => sub {
    policy($alpha, tls => { max_handshakes => 1000, handshake_timeout => 30 });
    await_reload($alpha);
    my ($port) = $a->call('erl_epmd:port_please("node", {127,0,0,1})') =~ /^\{port,(\d+),/ or die 'no port';
    my $crowd = $delta->spawn($lab->root . '/tests/tools/handshake-crowd', $alpha->ip, $port, HANDSHAKES,
        $new->certificate_of($delta));
    wait_until('they have begun', 20, sub { die $crowd->describe if !$crowd->running; $crowd->out =~ /way/ });
    my $before = events($alpha, 'beam', 'reloaded');
    replace($alpha, certificate_of($new, $alpha));
    wait_until('the node has read anew', 10, sub { nudge($alpha); events($alpha, 'beam', 'reloaded') > $before });
    kill USR1 => $crowd->pid;
    ok($crowd->wait(30), 'they come to an end') or diag $crowd->describe;
    my ($under_way, $finished, $hung_up_on) = $crowd->out =~ /(\d+)$/mg;
    cmp_ok($under_way, '>', HANDSHAKES / 2, "$under_way were under way");
    is($finished, HANDSHAKES, 'all come to be');
    is($hung_up_on, 0, 'none is ended') or diag $alpha->log(qr/beam/);
};

for my $node (@cluster) {
    my $said = $node->call('dg_lab_steady:stop()');
    my @whole = $said =~ /\{all,(\d+)\},0\}/g;
    is(scalar @whole, 2, $node->name . ' has lost no message and no connection') or diag $said;
    cmp_ok($_, '>', 1000, 'of many') for @whole;
}

done_testing;

# --- files ---

sub certificate_of {
    my ($pki, $host) = @_;
    my $base = $pki->certificate_of($host);
    return ('node.pem' => ["$base.pem"], 'node.key' => ["$base.key"]);
}

sub write_file {
    my ($path, $text, $mode) = @_;
    open(my $file, '>', $path) or die "$path: $!";
    chmod $mode // 0600, $path;
    print {$file} $text;
    close $file or die "$path: $!";
    sleep SETTLED;
}

# Gives the host these files beside those it has, all at once: names, and lists of what each consists of.
sub replace {
    my ($host, %files) = @_;
    $set{ $host->name } = { %{ $set{ $host->name } // {} }, %files };
    lay($host, map { my $file = $_; $file => join '', map { Distguard::Lab::Process::slurp($_) } @{ $set{ $host->name }{$file} } }
        keys %{ $set{ $host->name } });
}

# The same, of texts; and of nothing else.
sub lay {
    my ($host, %text) = @_;
    my $dir = $host->dir . '/tls';
    if (mkdir $dir) {
        symlink "..data/$_", "$dir/$_" for @FILES;
    }
    my $version = sprintf '..%d', ++$versions;
    mkdir "$dir/$version" or die "$dir/$version: $!";
    my $mode = delete $text{mode};
    write_file("$dir/$version/$_", $text{$_}, $mode) for keys %text;
    symlink $version, "$dir/..next" or die "$dir/..next: $!";
    rename "$dir/..next", "$dir/..data" or die "$dir/..data: $!";
}

# Writes the host's policy beside the old one, and takes it in place of that.
sub policy {
    my ($host, %conf) = @_;
    my $dir = $host->dir . '/tls';
    my $crl = $set{ $host->name }{'crl.pem'} ? { crl => "$dir/crl.pem" } : {};
    my %tls = (certificate => "$dir/node.pem", private_key => "$dir/node.key", ca => "$dir/ca.pem", %$crl,
        %{ delete $conf{tls} // {} });
    my $next = $host->shim(file => $host->conf_file . '.next', pki => $new, conf => { tls => \%tls, %conf });
    rename $next, $host->conf_file or die "$next: $!";
    sleep SETTLED;
}

# A revocation list of the new CA with these certificates; its path.
sub crl {
    my @revoked = @_;
    my $dir = $lab->temp_path('crl');
    mkdir $dir or die "$dir: $!";
    write_file("$dir/index.txt", '');
    write_file("$dir/config", <<"    END");
        [ca]
        default_ca = this
        [this]
        database = $dir/index.txt
        certificate = ${\$new->ca}
        private_key = ${\$new->dir}/ca.key
        default_md = sha256
        default_crl_days = 90
    END
    $lab->must(qw(openssl ca -config), "$dir/config", '-revoke', $_) for @revoked;
    $lab->must(qw(openssl ca -config), "$dir/config", qw(-gencrl -out), "$dir/crl.pem");
    return "$dir/crl.pem";
}

# --- what the programs of a host make of it ---

sub events {
    my ($host, $program, $event) = @_;
    return scalar(() = $host->log(qr/distguard\[$program[^]]*\]: event=$event\b/));
}

# A connection that each program of the host makes or takes: then it looks at its files.
sub nudge {
    my ($host) = @_;
    $node{ $host->name }->call('catch gen_tcp:connect({127,0,0,1}, 1, [])');
    $host->run(qw(epmd -names));
}

# Waits until the host's node and its epmd have said this once more than when they were last asked.
sub await {
    my ($host, $event) = @_;
    for my $program (qw(beam epmd)) {
        my $seen = \$seen{ $host->name }{$program}{$event};
        my $wanted = ($$seen // 0) + 1;
        wait_until("$program of ${\$host->name} says $event\n" . join('', $host->log), 15, sub {
            nudge($host);
            events($host, $program, $event) >= $wanted;
        });
        $$seen = events($host, $program, $event);
    }
}

sub await_reload { await($_[0], 'reloaded') }

# Everything that can be wrong with the files of a host, or what is named of it, one after the other: each is told once by
# each program, and changes nothing.
sub broken {
    my @chosen = @_;
    my $set = $set{alpha};
    my %text = map { my $file = $_; $file => join '', map { Distguard::Lab::Process::slurp($_) } @{ $set->{$file} } } keys %$set;
    my $other = Distguard::Lab::Process::slurp($old->certificate_of($beta) . '.key');
    my %damage = (
        'a certificate of garbage'   => { %text, 'node.pem' => "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n" },
        'no anchors'                 => { map { $_ => $text{$_} } grep { $_ ne 'ca.pem' } keys %text },
        'the key of another'         => { %text, 'node.key' => $other },
        'half a certificate'         => { %text, 'node.pem' => substr $text{'node.pem'}, 0, 400 },
        'a key that others can read' => { %text, mode => 0644 },
    );
    for my $damage (@chosen ? @chosen : sort keys %damage) {
        lay($alpha, %{ $damage{$damage} });
        await($alpha, 'reload_failed');
        visits($visitor, $a, "with $damage");
    }
    my @told = map { events($alpha, $_, 'reload_failed') } qw(beam epmd);
    sleep 1.1;    # a program looks once a second
    nudge($alpha);
    is_deeply([map { events($alpha, $_, 'reload_failed') } qw(beam epmd)], \@told, 'it is told once')
        or diag $alpha->log(qr/reload_failed/);
    replace($alpha);
    await_reload($alpha);
}

# --- who joins whom ---

sub others {
    my ($node) = @_;
    return scalar(() = $node->call('nodes()') =~ /@/g);
}

sub knows {
    my ($node, $other) = @_;
    return index($node->call('nodes(connected)'), $other->atom) >= 0;
}

sub part {
    my ($node, $other) = @_;
    $node->call("erlang:disconnect_node(${\$other->atom})");
    wait_until($other->name . ' has seen it leave', 10, sub { !knows($other, $node) && !knows($node, $other) });
}

sub joins {
    my ($node, $other) = @_;
    my $joined = $node->call("net_kernel:hidden_connect_node(${\$other->atom})") eq 'true';
    part($node, $other) if $joined;
    return $joined;
}

# Both join each other, by a handshake for each direction.
sub visits {
    my ($node, $other, $when) = @_;
    my $between = join ' and ', map { $_->name } $node, $other;
    $when = defined $when ? ", $when" : '';
    ok(joins($node, $other) && joins($other, $node), "$between join each other$when") or diag $other->host->log, $node->host->log;
}

sub all_visit {
    for my $node (@_) {
        visits($node, $_) for @cluster;
    }
}
