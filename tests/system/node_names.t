#!/usr/bin/perl
# Which certificate may be which node: a valid certificate of our authority is not enough to wear another node's name,
# neither for who connects nor for who is connected to. The node itself is not bothered: it sees no attempt at all.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(start_epmd);
use Distguard::Lab::Node;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant PORT => 9500;

# Without EPMD, every node at the same port: nothing but the distribution handshake stands in the way.
my @EPMDLESS = (args => [qw(-start_epmd false -erl_epmd_port), PORT]);

# What a node prints when another one comes with a wrong cookie.
my $ATTEMPT = qr/Connection attempt|Invalid challenge/;

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $thief) = map { $lab->host($_) } qw(alpha beta thief);
plan skip_all => 'everybody may have any name without the library' if !$alpha->shim_env;
my @epmds = map { start_epmd($_, shim => 1) } $alpha, $beta, $thief;

# A guarded node with a policy of its own: `conf` laid over the host's, `pair` another certificate than the host's.
sub start {
    my ($host, $name, %option) = @_;
    my $pair = delete $option{pair};
    my %conf = ($pair ? (tls => { certificate => "$pair.pem", private_key => "$pair.key" }) : (),
        %{ delete $option{conf} // {} });
    my $file = $host->shim(file => $lab->temp_path('conf'), conf => \%conf);
    return $host->node($name, long => 1, shim => 1, explicit => 1, %option,
        env => { DISTGUARD_CONF => $file, %{ $option{env} // {} } });
}

sub ping {
    my ($from, $to) = @_;
    return $from->call("case net_kernel:connect_node('$to') of true -> net_adm:ping('$to'); false -> pang end");
}

sub leave {
    my ($a, $b) = @_;
    $a->call('erlang:disconnect_node(' . $b->atom . ')');
    wait_until('both are rid of each other', 10, sub { !grep { $_->call('nodes(connected)') ne '[]' } $a, $b });
}

sub join_both_ways {
    my ($a, $b, $what) = @_;
    is(ping($a, $b->name), 'pong', "$what: joins") or diag $a->host->log, $b->host->log;
    leave($a, $b);
    is(ping($b, $a->name), 'pong', "$what: and from the other side");
    leave($b, $a);
}

sub distribution_refusals { return $_[0]->log(qr/event=refused .*role=distribution/) }

# `attempt` must fail, for one reason that `node`'s host has in its log, and the node must not have noticed.
sub is_refused {
    my ($node, $what, $attempt, @patterns) = @_;
    my $host   = $node->host;
    my $before = () = distribution_refusals($host);
    is($attempt->(), 'pang', "$what: does not join");
    my @new;
    wait_for(10, sub { @new = distribution_refusals($host); splice @new, 0, $before; @new });
    is(scalar @new, 1, "$what: one line in the log") or diag @new, 'the whole log: ', $host->log;
    like($new[0] // '', $_, "$what: it says $_") for @patterns;
    is($node->call('nodes(connected)'), '[]', "$what: nobody is there");
    unlike($node->process->out . $node->process->err, $ATTEMPT, "$what: the node has seen no attempt");
}

my $not_its_host = qr/reason="its certificate is not for the host it claims \(node_names = host, the default\)"/;

subtest 'a certificate of the host' => sub {
    my ($a, $b) = (start($alpha, 'a@alpha.lab'), start($beta, 'b@beta.lab'));
    join_both_ways($a, $b, 'a node of its own name');
    like(join('', $alpha->log(qr/event=admitted .*direction=in/)), qr/node=b\@beta\.lab certificate=\S*DNS:beta\.lab/,
        'the log has who it is');
    like(join('', $alpha->log(qr/event=admitted .*direction=out/)), qr/node=b\@beta\.lab certificate=\S*DNS:beta\.lab/,
        'also of whom it connected to');
    $_->stop for $a, $b;
};

subtest 'who connects claims another host\'s name' => sub {
    my $a        = start($alpha, 'a@alpha.lab');
    my $impostor = start($thief, 'b@beta.lab');
    $impostor->call('erlang:set_cookie(guessed)');
    is_refused($a, 'the impostor', sub { ping($impostor, $a->name) },
        qr/peer=\Q${\$thief->ip}\E:\d+ .*direction=in/, qr/node=b\@beta\.lab/, qr/certificate=\S*DNS:thief\.lab/, $not_its_host);
    my $b = start($beta, 'b@beta.lab');
    is(ping($b, $a->name), 'pong', 'whose name it is joins');
    $_->stop for $a, $b, $impostor;
};

# Names are resolved as the thief wants it.
sub spoofed {
    my (%address) = @_;
    my $path = $lab->temp_path('inetrc');
    open(my $file, '>', $path) or die "$path: $!";
    print {$file} '{host, {', $address{$_} =~ tr/./,/r, qq(}, ["$_"]}.\n) for sort keys %address;
    print {$file} "{lookup, [file]}.\n";
    close $file;
    return (env => { ERL_INETRC => $path });
}

subtest 'who is connected to claims another host\'s name' => sub {
    my $a        = start($alpha, 'a@alpha.lab', spoofed('alpha.lab' => $alpha->ip, 'beta.lab' => $thief->ip));
    my $impostor = start($thief, 'b@beta.lab');
    $impostor->call('erlang:set_cookie(guessed)');
    is_refused($a, 'the impostor', sub { ping($a, 'b@beta.lab') },
        qr/peer=\Q${\$thief->ip}\E:\d+ .*direction=out/, qr/node=b\@beta\.lab/, qr/certificate=\S*DNS:thief\.lab/, $not_its_host);
    $_->stop for $a, $impostor;
};

subtest 'node_names = "off"' => sub {
    my $a     = start($alpha, 'a@alpha.lab', conf => { node_names => 'off' });
    my $other = start($thief, 'b@beta.lab');
    is(ping($other, $a->name), 'pong', 'any name will do');
    leave($other, $a);
    $other->call('erlang:set_cookie(guessed)');
    is(ping($other, $a->name), 'pang', 'with the cookie');
    ok(wait_for(10, sub { $a->process->out . $a->process->err =~ $ATTEMPT }), 'the control: this is what a node sees of an attempt')
        or diag $a->process->describe;
    $_->stop for $a, $other;
};

subtest 'node_names = "exact"' => sub {
    my %exact = (conf => { node_names => 'exact' });
    my $of_a  = $lab->pki->issue('exact_a', qw(--dns alpha.lab --uri erlang:a@alpha.lab));
    my $of_b  = $lab->pki->issue('exact_b', qw(--dns beta.lab --uri erlang:b@beta.lab));
    my ($a, $b) = (start($alpha, 'a@alpha.lab', pair => $of_a, %exact), start($beta, 'b@beta.lab', pair => $of_b, %exact));
    join_both_ways($a, $b, 'the very name');
    my $c = start($beta, 'c@beta.lab', pair => $of_b);
    is_refused($a, 'another name of the host', sub { ping($c, $a->name) }, qr/node=c\@beta\.lab/,
        qr/certificate=\S*URI:erlang:b\@beta\.lab/, qr/does not have the node name it claims \(node_names = exact, \S*:\d+\)/);
    my $dynamic = start($beta, 'undefined@beta.lab', pair => $of_b);
    is_refused($a, 'a name that the peer chooses', sub { ping($dynamic, $a->name) }, qr/node=\@beta/,
        qr/no node name of its own.*\(node_names = exact/);
    $_->stop for $a, $b, $c, $dynamic;
};

subtest 'peers with nodes' => sub {
    my $a = start($alpha, 'a@alpha.lab', conf => { peers => [{ dns => 'beta.lab', nodes => 'web*@*' }] });
    my $web = start($beta, 'web1@beta.lab');
    join_both_ways($a, $web, 'as the entry says');
    my $db = start($beta, 'db@beta.lab');
    is_refused($a, 'another node of that certificate', sub { ping($db, $a->name) }, qr/node=db\@beta\.lab/,
        qr/certificate=\S*DNS:beta\.lab/, qr/reason="entry of peers at \S+:\d+ lets it be web\*\@\* only"/);
    my $web2 = start($thief, 'web2@thief.lab');
    is_refused($a, 'a certificate that no entry names', sub { ping($web2, $a->name) }, qr/matches no entry of peers \(\S+:\d+/);
    $_->stop for $a, $web, $db, $web2;
};

subtest 'two tiers under one authority' => sub {
    my ($web, $web2, $db) = map {
        my ($host, $name, $tier) = @$_;
        start($host, "$name\@" . $host->name . '.lab', @EPMDLESS,
            pair => $lab->pki->issue("tier_$name", '--dns', $host->name . '.lab', '--uri', "spiffe://lab.test/$tier/$name"),
            conf => { peers => [{ uri => "spiffe://lab.test/$tier/*" }] });
    } [$alpha, 'web1', 'web'], [$beta, 'web2', 'web'], [$thief, 'db1', 'db'];
    join_both_ways($web, $web2, 'a node of the same tier');
    for my $pair ([$web, $db], [$db, $web]) {
        my ($from, $to) = @$pair;
        is_refused($from, $from->name . ' connects to ' . $to->name, sub { ping($from, $to->name) },
            qr/direction=out/, qr/certificate=\S*URI:spiffe|matches no entry of peers/);
    }
    $_->stop for $web, $web2, $db;
};

subtest 'a pinned key' => sub {
    my $pinned = $lab->pki->issue('pinned', qw(--dns beta.lab));
    my $renewed = $lab->pki->issue('renewed', qw(--dns beta.lab));
    my ($pin) = $lab->must('sh', '-c', "openssl x509 -in $pinned.pem -noout -pubkey | openssl pkey -pubin -outform DER | " .
        'openssl dgst -sha256') =~ /([0-9a-f]{64})/;
    my $start_a = sub { start($alpha, 'a@alpha.lab', @EPMDLESS, conf => { peers => [{ spki => "sha256:$pin" }] }) };
    my $a = $start_a->();
    my $b = start($beta, 'b@beta.lab', @EPMDLESS, pair => $pinned);
    join_both_ways($a, $b, 'the key');
    $b->stop;
    $b = start($beta, 'b@beta.lab', @EPMDLESS, pair => $renewed);
    is_refused($a, 'another key of the same name', sub { ping($b, $a->name) }, qr/direction=in/, qr/matches no entry of peers/);
    $a->stop;
    $a = $start_a->();
    is_refused($a, 'and as who is connected to', sub { ping($a, $b->name) }, qr/direction=out/, qr/matches no entry of peers/);
    $_->stop for $a, $b;
};

subtest 'nodes whose names their peers choose' => sub {
    my $a = start($alpha, 'a', long => 0);
    my $dynamic = start($beta, 'undefined', long => 0);
    is(ping($dynamic, 'a@alpha'), 'pong', 'a short name: joins') or diag $alpha->log, $dynamic->process->describe;
    like($dynamic->call('node()'), qr/\@beta'?$/, 'and has a name of its host now');
    like(join('', $alpha->log(qr/event=admitted/)), qr/node=\@beta certificate=\S*DNS:beta/, 'the log has its host');
    $dynamic->stop;
    my $wrong = start($beta, 'undefined', long => 0, pair => $lab->pki->issue('no_beta', qw(--dns other.lab)));
    is_refused($a, 'with a certificate of another host', sub { ping($wrong, 'a@alpha') }, qr/node=\@beta/, $not_its_host);
    $_->stop for $a, $wrong;
};

subtest 'nodes of one host, of names that no certificate has' => sub {
    my %here = (distribution => { bind => 'loopback' });
    my $pair = $lab->pki->issue('long_alone', qw(--dns alpha.lab));
    for my $host (qw(localhost alpha)) {
        my %at = $host eq 'localhost' ? %here : ();
        my ($a, $c) = map { start($alpha, "$_\@$host", long => 0, pair => $pair, conf => {%at}) } qw(a c);
        join_both_ways($a, $c, "\@$host, local = same-user");
        $_->stop for $a, $c;
        ($a, $c) = map { start($alpha, "$_\@$host", long => 0, pair => $pair, conf => { %at, local => 'deny' }) } qw(a c);
        is(ping($a, $c->name), 'pang', "\@$host, local = deny: does not join");
        like(join('', distribution_refusals($alpha)), qr/node=\w\@$host .*is not for the host/, 'and the log says why');
        $_->stop for $a, $c;
    }
};

subtest 'erl_call from another host' => sub {
    my $a = start($alpha, 'a', long => 0);
    my $erl_call = sub {
        my ($pair) = @_;
        my $file = $beta->shim(file => $lab->temp_path('conf'),
            conf => { $pair ? (tls => { certificate => "$pair.pem", private_key => "$pair.key" }) : () });
        return $beta->run({ env => { $beta->shim_env, DISTGUARD_CONF => $file } }, qw(erl_call -sname a@alpha -timeout 5 -c),
            Distguard::Lab::Node::COOKIE, '-a', 'erlang node');
    };
    my $good = $erl_call->();
    is($good->out =~ s/[\s']+//gr, 'a@alpha', 'with its host\'s certificate: answered') or diag $good->describe, $alpha->log;
    is_refused($a, 'with another host\'s', sub {
        my $bad = $erl_call->($lab->pki->issue('for_call', qw(--dns other.lab)));
        return $bad->status != 0 && $bad->out !~ /a\@alpha/ ? 'pang' : $bad->describe;
    }, qr/node=\S+\@beta/, qr/certificate=DNS:other\.lab/, $not_its_host);
    $a->stop;
};

$_->kill for @epmds;
done_testing;
