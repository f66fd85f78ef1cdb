#!/usr/bin/perl
# Who understands whom: each way of running a node or an EPMD connects to each other, from one host to another, and what
# comes of it is what the table says. A failure is explained in the log of the guarded side, and where plaintext must not
# leave, none does.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(EPMD_PORT port_please start_epmd);
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant {
    DISTRIBUTION_PORT => 9500,
    HANDSHAKE_TIMEOUT => 2.5,
    SETUP_TIME        => 4,
};

# The tables of docs/rollout.md: who connects, then to whom.
my @nodes = ('no distguard', qw(off allow prefer require), 'native TLS');
my @epmds = @nodes[0 .. 4];
my @words = (p => 'plaintext', t => 'TLS', '-' => 'no');
my %distribution = table([@nodes],
    'no distguard' => 'p p p p - -',
    'off'          => 'p p p p - -',
    'allow'        => 'p p p p - -',
    'prefer'       => '- - t t t t',
    'require'      => '- - t t t t',
    'native TLS'   => '- - t t t t');
my %epmd = table([@epmds],
    'no distguard' => 'p p p p -',
    'off'          => 'p p p p -',
    'allow'        => 'p p p p -',
    'prefer'       => '- - t t t',
    'require'      => '- - t t t');

sub table {
    my ($columns, %rows) = @_;
    my %word = @words;
    return map {
        my @cells = map { $word{$_} } split ' ', $rows{$_};
        $_ => { map { $columns->[$_] => $cells[$_] } 0 .. $#$columns };
    } keys %rows;
}

# What the log says of a failure: of the one who connects, and of the one who is connected to.
my $NO_TLS = qr/peer does not answer TLS \([^)]+\): if it speaks plaintext, put it into allow or prefer first/;
my %NO_PLAINTEXT = (
    distribution => qr/"peer does not answer plaintext: if its mode is require/,
    epmd         => qr/"EPMD of the peer does not answer plaintext: if its mode is require/,
);
my $REFUSED = qr/peer speaks plaintext, our mode is require: put this node into prefer/;

sub reasons {
    my ($role, $from, $to) = @_;
    my %reason;
    $reason{from} = $NO_TLS              if $from =~ /prefer|require/;
    $reason{from} = $NO_PLAINTEXT{$role} if $from eq 'allow';
    $reason{to}   = $REFUSED             if $to =~ /require|native/;
    return %reason;
}

subtest 'the tables of docs/rollout.md are these' => sub {
    my $page = Distguard::Lab::Process::slurp("$FindBin::Bin/../../docs/rollout.md");
    for (['distribution', \%distribution, @nodes], ['EPMD', \%epmd, @epmds]) {
        my ($what, $table, @columns) = @$_;
        my @lines = map { my $from = $_; join ' | ', $from, map { $table->{$from}{$_} } @columns } @columns;
        my $wanted = "| $what: from ↓ to → | " . join(' | ', @columns) . " |\n" . '|---' x (@columns + 1) . "|\n"
            . join '', map {"| $_ |\n"} @lines;
        ok(index($page, $wanted) >= 0, $what) or diag "docs/rollout.md has not\n$wanted";
    }
};

my $lab = Distguard::Lab->new;

my $stranger  = $lab->host('stranger');
my @addresses = $stranger->more_addresses(19);

# A host for each way, on either side, with a node that needs no EPMD and, on the far side, an EPMD.
my (%near, %far);
for my $way (@nodes) {
    (my $name = $way) =~ s/\W.*//;
    $near{$way} = { host => $lab->host("near$name") };
    $far{$way}  = { host => $lab->host("far$name") };
}
plan skip_all => 'a control run has no modes' if !$near{allow}{host}->shim_env;

# The native node of the far side has the library as well, which leaves it to itself and refuses who speaks plaintext.
sub how {
    my ($way, $host) = @_;
    return () if $way eq 'no distguard';
    my @native = $way eq 'native TLS' ? (native => 1) : ();
    return @native if $host == $near{'native TLS'}{host};
    $host->shim(conf => { mode => @native ? 'require' : $way, tls => { handshake_timeout => HANDSHAKE_TIMEOUT } });
    return (shim => 1, @native);
}

sub start_side {
    my ($side) = @_;
    for my $way (@nodes) {
        my $host   = $side->{$way}{host};
        my %option = (how($way, $host));
        my $guard  = delete $option{shim};
        $side->{$way}{node} = $host->start_node('n@' . $host->name . '.lab', long => 1, %option,
            env  => { $guard ? $host->shim_env : () },
            args => [qw(-start_epmd false -connect_all false -erl_epmd_port), DISTRIBUTION_PORT,
                qw(-kernel net_setuptime), SETUP_TIME]);
    }
}

start_side(\%near);
start_side(\%far);
for my $way (@epmds) {
    my $host = $far{$way}{host};
    $far{$way}{epmd} = start_epmd($host, env => { $way eq 'no distguard' ? () : $host->shim_env });
    $far{$way}{registered} = $host->spawn($lab->root . '/tests/tools/epmd-register', '--hold', 1);
}
$_->{node}->wait_up for values %near, values %far;
wait_until('a node is registered with each EPMD', 10, sub { !grep { $_->{registered}->out !~ /registered/ }
    grep { $_->{registered} } values %far });

subtest 'the library is where it is said to be' => sub {
    for my $way (qw(allow prefer require)) {
        ok($_->{node}->guarded, $_->{host}->name) for $near{$way}, $far{$way};
    }
    ok(!$near{$_}{node}->guarded, "not in $_") for 'no distguard', 'native TLS';
    is(scalar(@{[$_->{host}->log]}), 0, 'with mode off it does nothing') for $near{off}, $far{off};
    ok($far{'native TLS'}{node}->guarded, 'and in one native node');
};

# What the near nodes ask an EPMD, as erl_epmd does; true where they are told.
sub asks {
    my ($address) = @_;
    my ($request, $list) = (join(',', unpack 'C*', port_please('node1')), $address =~ tr/./,/r);
    return <<"    END";
        {ok, S} = gen_tcp:connect({$list}, @{[EPMD_PORT]}, [binary, {active, false}]),
        Told = case gen_tcp:send(S, <<$request>>) of
                   ok -> case gen_tcp:recv(S, 0, 4000) of {ok, <<119, 0, _/binary>>} -> true; _ -> false end;
                   _ -> false
               end,
        gen_tcp:close(S), Told
    END
}

# What crossed the wire from a host to another's port.
sub sent {
    my ($streams, $from, $to, $port) = @_;
    return grep { $_->{from} =~ /^\Q${\$from->ip}\E / && $_->{to} eq $to->ip . " $port" && length $_->{bytes} } @$streams;
}

sub spoken {
    my (@streams) = @_;
    return (grep { defined Distguard::Lab::Capture::not_tls($_->{bytes}) } @streams) ? 'plaintext' : 'TLS';
}

# How it went, as the table says it; and that the log says why where it failed.
sub came_out {
    my ($what, $role, $from, $to, $wanted, $succeeded, @sent) = @_;
    my $name = "$what: from $from to $to";
    my $got  = $succeeded ? spoken(@sent) : 'no';
    is($got, $wanted, "$name: $wanted") or diag $near{$from}{host}->log, $far{$to}{host}->log;
    cmp_ok(scalar @sent, '>=', 1, "$name: seen on the wire");
    is(spoken(@sent), 'TLS', "$name: no plaintext has left") if $from =~ /prefer|require|native/;
    return if $got ne 'no';
    my %reason = reasons($role, $from, $to);
    for my $side (['from', 'out', $near{$from}{host}, $far{$to}{host}], ['to', 'in', $far{$to}{host}, $near{$from}{host}]) {
        my ($key, $direction, $host, $peer) = @$side;
        my $reason = $reason{$key} // next;
        ok(wait_for(5, sub { $host->log(qr/event=refused peer=\Q${\$peer->ip}\E:\d+ role=$role direction=$direction.*$reason/) }),
            "$name: the log of " . $host->name . ' says why') or diag "wanted $reason in\n", $host->log;
    }
}

sub all_at_once {
    my ($expression, @from) = @_;
    my %request = map { $_ => $near{$_}{node}->begin($expression) } @from;
    return map { $_ => $near{$_}{node}->result($request{$_}) eq 'true' } @from;
}

for my $to (@nodes) {
    subtest "to $to" => sub {
        my ($host, $node) = @{ $far{$to} }{qw(host node)};
        my $capture = $host->capture;
        my %joined  = all_at_once('net_kernel:connect_node(' . $node->atom . ')', @nodes);
        my %told    = $far{$to}{epmd} ? all_at_once(asks($host->ip), @epmds) : ();
        all_at_once('erlang:disconnect_node(' . $node->atom . ')', grep { $joined{$_} } @nodes);
        my @streams = $capture->stop;
        for my $from (@nodes) {
            came_out('distribution', 'distribution', $from, $to, $distribution{$from}{$to}, $joined{$from},
                sent(\@streams, $near{$from}{host}, $host, DISTRIBUTION_PORT));
        }
        for my $from (sort keys %told) {
            came_out('EPMD', 'epmd', $from, $to, $epmd{$from}{$to}, $told{$from},
                sent(\@streams, $near{$from}{host}, $host, EPMD_PORT));
        }
    };
}

# A certificate that is refused is refused in every mode, and nobody turns to plaintext instead.
subtest 'a node of another authority' => sub {
    my $host = $lab->host('foreign');
    # It trusts everybody, so that it is the others who refuse.
    my $both = $lab->temp_path('pem');
    open(my $file, '>', $both) or die "$both: $!";
    print {$file} map { Distguard::Lab::Process::slurp($_->ca) } $lab->pki, $lab->pki('other');
    close $file;
    $host->shim(conf => { mode => 'prefer', tls => { ca => $both } }, pki => $lab->pki('other'));
    my $foreign = $host->node('n@foreign.lab', long => 1, shim => 1,
        args => [qw(-start_epmd false -connect_all false -erl_epmd_port), DISTRIBUTION_PORT, qw(-kernel net_setuptime), SETUP_TIME]);
    my $capture = $host->capture;
    my @guarded = qw(allow prefer require);
    for my $way (@guarded) {
        my ($far, $to) = @{ $far{$way} }{qw(node host)};
        is($foreign->call('net_kernel:connect_node(' . $far->atom . ')'), 'false', "does not get in where the mode is $way");
        ok(wait_for(5, sub { $to->log(qr/event=refused peer=\Q${\$host->ip}\E:\d+ .*direction=in.*certificate/) }),
            'and the log says why') or diag $to->log;
    }
    for my $way (qw(prefer require)) {
        is($near{$way}{node}->call("net_kernel:connect_node('n\@foreign.lab')"), 'false', "a node in $way does not go there");
        ok(wait_for(5, sub { $near{$way}{host}->log(qr/event=refused peer=\Q${\$host->ip}\E:\d+ .*direction=out.*certificate/) }),
            'and its log says why') or diag $near{$way}{host}->log;
    }
    is(spoken(grep { length $_->{bytes} } $capture->stop), 'TLS', 'no plaintext was spoken by either');
    $foreign->stop;
};

subtest 'who speaks plaintext is named once' => sub {
    for my $to (qw(allow prefer)) {
        for my $from ('no distguard', qw(off allow)) {
            my ($host, $peer) = ($far{$to}{host}, $near{$from});
            my @lines = $host->log(qr/event=plaintext peer=\Q${\$peer->{host}->ip}\E:\d+ role=distribution /);
            is(scalar @lines, 1, "$from to $to: one line");
            like($lines[0] // '', qr/ direction=in node=\Q${\$peer->{node}->name}\E rule=$to$/, 'that names node and rule');
        }
    }
    my @lines = $near{allow}{host}->log(qr/event=plaintext .*role=distribution direction=out/);
    is(scalar @lines, 4, 'and to whom we speak it: none, off, allow, prefer');
    is(scalar(grep { / node=n\@far\w+\.lab rule=allow$/ } @lines), 4, 'with their names') or diag @lines;
};

# --- first bytes that are slow, split, or nobody's ---

# The capabilities of a node of OTP 25.
my $FLAGS = 0xd << 32 | 0x07df7fbd;

sub name_message { pack 'n/a*', 'N' . pack('Q> N n/a*', $FLAGS, 1, "slow\@$_[0]") }

# Sends bytes one by one, so many seconds apart, and then waits to be hung up on. Prints what it is told.
sub dripping {
    my ($source, $address, $port, $pause, $bytes) = @_;
    return $stranger->start_process(['perl', '-MIO::Socket::INET', '-MSocket=:all', '-MTime::HiRes=sleep', '-e', <<'    END',
        my ($source, $address, $port, $pause) = @ARGV;
        local $/;
        my $bytes  = <STDIN> // '';
        my $socket = IO::Socket::INET->new(PeerAddr => $address, PeerPort => $port, LocalAddr => $source) or die $@;
        setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
        $SIG{PIPE} = 'IGNORE';
        $| = 1;
        for (split //, $bytes) { syswrite $socket, $_ or last; sleep $pause }
        print "sent\n";
        while (sysread $socket, my $answer, 4096) { print "told ", unpack('H*', $answer), "\n" }
        print "end\n";
    END
        $source, $address, $port, $pause], input => $bytes);
}

sub no_circles {
    my ($what, $node, $code) = @_;
    my ($before, $start) = ($node->cpu, Time::HiRes::time());
    $code->();
    my $took = Time::HiRes::time() - $start;
    cmp_ok($node->cpu - $before, '<', 0.2 + 0.2 * $took, "$what: the node does not run in circles");
}

for my $way (qw(allow prefer)) {
    my ($host, $node) = @{ $far{$way} }{qw(host node)};
    my @to   = ($host->ip, DISTRIBUTION_PORT);
    my $says = sub {
        my ($what, $source, $reason) = @_;
        ok(wait_for(5, sub { $host->log(qr/event=refused peer=\Q$source\E:.* direction=in .*$reason/) }), "$what: the log says why")
            or diag "wanted $reason in\n", $host->log;
    };

    subtest "$way: a name message byte by byte" => sub {
        my $source = shift @addresses;
        no_circles('slow', $node, sub {
            my $client = dripping($source, @to, 0.02, name_message($source));
            ok(wait_for(10, sub { $client->out =~ /told 0003736f6b/ }), 'is answered: ok') or diag $client->describe, $host->log;
            $client->kill;
        });
        ok(wait_for(5, sub { $host->log(qr/event=plaintext peer=\Q$source\E:\d+ .*node=slow\@\Q$source\E/) }), 'and logged by its name');
    };

    my @cases = (
        ['garbage',                 0,   "GET / HTTP/1.0\r\n\r\n",        qr/neither TLS nor a distribution handshake/],
        ['garbage byte by byte',    0.01, "\0\x20garbage, and more of it", qr/neither TLS nor a distribution handshake/],
        ['half a name message',     0,   substr(name_message('x'), 0, 9), qr/has not finished its first message|in time/],
        ['silence',                 0,   '',                              qr/peer has said nothing/],
        ['one byte after the other, slower than the handshake may take', 0.25, name_message('x'), qr/not finished in time/],
    );
    subtest "$way: what is neither TLS nor a name message" => sub {
        no_circles('all', $node, sub {
            my @clients = map { my ($what, $pause, $bytes) = @$_; my $source = shift @addresses;
                [@$_, $source, dripping($source, @to, $pause, $bytes)] } @cases;
            for (@clients) {
                my ($what, undef, undef, $reason, $source, $client) = @$_;
                ok($client->wait(10), "$what: hung up on") or diag $client->describe;
                unlike($client->out, qr/told/, "$what: and told nothing");
                $says->($what, $source, $reason);
            }
        });
    };
}

subtest 'allow: requests of EPMD that are slow, none, or not finished' => sub {
    my $host = $far{allow}{host};
    my @to   = ($host->ip, EPMD_PORT);
    my @cases = (
        ['a request byte by byte', 0.02, port_please('node1'),              qr/told 7700/, undef],
        ['garbage',                0,    "GET / HTTP/1.0\r\n\r\n",          qr/^sent\nend/, qr/what no other host may ask/],
        ['half a request',         0,    substr(port_please('node1'), 0, 4), qr/^sent\nend/, qr/no whole request within/],
        ['silence',                0,    '',                                qr/^sent\nend/, qr/no whole request within/],
    );
    my @clients = map { my ($what, $pause, $bytes) = @$_; my $source = shift @addresses;
        [@$_, $source, dripping($source, @to, $pause, $bytes)] } @cases;
    for (@clients) {
        my ($what, undef, undef, $printed, $reason, $source, $client) = @$_;
        ok($client->wait(10), "$what: comes to an end") or diag $client->describe;
        like($client->out, $printed, "$what: what it was told");
        next if !$reason;
        ok(wait_for(5, sub { $host->log(qr/event=refused peer=\Q$source\E:.* role=epmd .*$reason/) }), "$what: the log says why")
            or diag $host->log;
    }
};

done_testing;
