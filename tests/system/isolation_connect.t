#!/usr/bin/perl
# Outgoing connections: the source address that the peer sees is the one of connect_from, for EPMD and for distribution;
# to a destination that the policy forbids nothing leaves the host.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Socket qw(AF_INET6 inet_pton);
use Test::More;

use constant { EPMD_PORT => 4369, BETA_PORT => 9200, GAMMA_PORT => 9300 };

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma) = map { $lab->host($_) } qw(alpha beta gamma);
my ($alpha4, $alpha6) = $alpha->interface('eth1', 78);
my ($beta4, $beta6) = $beta->interface('eth1', 78);
plan skip_all => 'the kernel chooses without the library' if !$alpha->shim_env;

# The host's second addresses on that network: the kernel would never choose them.
my ($second4, $second6) = ('10.78.0.101', 'fd78::101');
$alpha->must(qw(ip addr add), "$second4/24", qw(dev eth1));
$alpha->must(qw(ip addr add), "$second6/64", qw(dev eth1 nodad preferred_lft 0));
push @{ $alpha->{addresses} }, $second4, $second6;    # for its certificate
my @both = (bind => 'any');

sub listening { return (args => [qw(-kernel inet_dist_listen_min), $_[0], 'inet_dist_listen_max', $_[0], @_[1 .. $#_]]) }

$beta->shim(conf => { distribution => {@both} });
$gamma->shim(conf => { distribution => {@both} });
my $four = $beta->node("four\@$beta4", long => 1, shim => 1, listening(BETA_PORT));
my $six = $beta->node("six\@$beta6", long => 1, shim => 1, listening(BETA_PORT + 1, qw(-proto_dist inet6_tcp)));
my $elsewhere = $gamma->node('elsewhere', long => 1, shim => 1, listening(GAMMA_PORT));

# An address as a capture has it.
sub captured {
    my ($address) = @_;
    return $address if $address !~ /:/;
    return join ':', unpack '(H4)8', inet_pton(AF_INET6, $address);
}

# From where the connections in a capture went to one address: { PORT => 'ADDRESSES' }.
sub sources {
    my ($to, @streams) = @_;
    my %from;
    for (@streams) {
        my ($address, $port) = split ' ', $_->{to};
        $from{$port}{ (split ' ', $_->{from})[0] } = 1 if $address eq captured($to) && $port < 32768;
    }
    return { map { $_ => join ' ', sort keys %{ $from{$_} } } keys %from };
}

my @cases = (
    ['none, and bind = any',   { bind => 'any' },                               $alpha4,    $alpha6],
    ['none, and bind = loopback', { bind => 'loopback' },                       $alpha4,    $alpha6],
    ['an address',             { bind => 'any', connect_from => $second4 },       $second4,   undef],
    ['an IPv6 address',        { bind => 'any', connect_from => $second6 },       undef,      $second6],
    ['a network',              { bind => 'any', connect_from => '10.78.0.96/27' }, $second4,  undef],
    ['one of each family',     { bind => 'any', connect_from => [$second4, $second6] }, $second4, $second6],
    ['an interface',           { bind => 'any', connect_from => 'interface:eth0' }, $alpha->ip, $alpha->ip6],
    ['none, but a bind that leads to other hosts', { bind => [$second4, $second6] }, $second4, $second6],
);

my $serial = 0;
for my $case (@cases) {
    my ($what, $distribution, $source4, $source6) = @$case;
    subtest "connect_from: $what" => sub {
        my $conf = $alpha->shim(conf => { distribution => $distribution }, file => $lab->temp_path('conf'));
        for my $to ([$four, $beta4, BETA_PORT, $source4], [$six, $beta6, BETA_PORT + 1, $source6, qw(-proto_dist inet6_tcp)]) {
            my ($peer, $address, $port, $source, @args) = @$to;
            my $name = 'a' . ++$serial . '@' . (@args ? $alpha6 : $alpha4);
            next if !defined $source && $distribution->{bind} ne 'any';
            my $a = $alpha->node($name, long => 1, shim => 1, args => \@args, env => { DISTGUARD_CONF => $conf });
            my $capture = $beta->capture;
            is($a->call('net_adm:ping(' . $peer->atom . ')'), defined $source ? 'pong' : 'pang', 'ping to ' . $peer->name);
            my $expected = defined $source ? { map { $_ => captured($source) } EPMD_PORT, $port } : {};
            is_deeply(sources($address, $capture->stop), $expected, 'from ' . ($source // 'nowhere, as there is no such address'))
                or diag $alpha->log(qr/refused/);
            $a->kill;
        }
    };
}

# Each: what the release chooses itself; the address that the peer sees, undef where it sees none.
my @chosen = (
    ['the address of the policy', "[{ip,{$second4}}]",    $second4],
    ['another address',           "[{ip,{$alpha4}}]",     undef],
    ['a port',                    '[{port,9299}]',        $second4],
    ['any address',               '[{ip,{0.0.0.0}}]',     $second4],
);
subtest 'the release chooses its source itself' => sub {
    $alpha->shim(conf => { distribution => { bind => 'any', connect_from => $second4 } });
    for my $case (@chosen) {
        my ($what, $options, $source) = @$case;
        my $a = $alpha->node('a' . ++$serial . "\@$alpha4", long => 1, shim => 1,
            args => [qw(-kernel inet_dist_connect_options), $options =~ tr/./,/r]);
        is($a->call('net_adm:ping(' . $four->atom . ')'), $source ? 'pong' : 'pang', $what);
        my $seen = $four->call('net_kernel:node_info(' . $a->atom . ', address)');
        like($seen, $source ? qr/\{\{${\($source =~ tr|.|,|r)}\},(\d+)\}/ : qr/bad_node/, 'the peer sees ' . ($source // 'nobody'));
        like($seen, qr/,9299\}/, 'with the port') if $what eq 'a port';
        my @said = $alpha->log(qr/refused.*source address \Q$alpha4\E is not one of distribution\.connect_from \(\S+:\d+\)/);
        cmp_ok(scalar @said, '>', 0, 'the log says why') if !$source;
        $a->kill;
    }
};

subtest 'nobody tells that a destination is distribution\'s' => sub {
    my @module = qw(-start_epmd false -epmd_module dg_lab_epmd);
    my $port = BETA_PORT + 2;
    my %named = (bind => 'any', ports => ["$port"]);
    my $conf = $beta->shim(conf => { distribution => \%named }, file => $lab->temp_path('conf'));
    my $b = $beta->node("b$port\@$beta4", long => 1, shim => 1, args => \@module, env => { DISTGUARD_CONF => $conf });
    for my $case ([{ bind => 'any' }, 'pong', $alpha4], [{ %named, connect_from => $second4 }, 'pong', $second4],
        [{ bind => 'any', connect_from => $second4 }, 'pang', undef]) {
        my ($distribution, $outcome, $source) = @$case;
        my $file = $alpha->shim(conf => { distribution => $distribution }, file => $lab->temp_path('conf'));
        my $a = $alpha->node("a$port\@$alpha4", long => 1, shim => 1, args => \@module, env => { DISTGUARD_CONF => $file });
        is($a->call('net_adm:ping(' . $b->atom . ')'), $outcome, 'ping with ' . join ' and ', sort keys %$distribution);
        my $seen = $b->call('net_kernel:node_info(' . $a->atom . ', address)');
        like($seen, $source ? qr/\{\{${\($source =~ tr|.|,|r)}\},/ : qr/bad_node/, 'the peer sees ' . ($source // 'nobody'));
        cmp_ok(scalar(() = $alpha->log(qr/refused.*source address \Q$alpha4\E.*distribution\.ports/)), '>', 0,
            'the log says what to do') if !$source;
        $a->kill;
    }
    $b->kill;
};

subtest 'forbidden destinations' => sub {
    my $allowed = [map { s/\d+$//r . '0/24' } $beta4];
    for my $policy ([{ distribution => { @both, allow_to => $allowed } }, {}, 'epmd.allow_to|distribution.allow_to'],
        [{ distribution => { @both, allow_to => $allowed }, epmd => { allow_to => ['10.0.0.0/8'] } },
            { EPMD_PORT, $alpha->ip }, 'distribution.allow_to']) {
        my ($conf, $asked, $key) = @$policy;
        my $file = $alpha->shim(conf => $conf, file => $lab->temp_path('conf'));
        my $a = $alpha->node('a' . ++$serial, long => 1, shim => 1, env => { DISTGUARD_CONF => $file });
        my $capture = $gamma->capture;
        is($a->call('net_adm:ping(' . $elsewhere->atom . ')'), 'pang', 'ping to a forbidden host');
        is_deeply(sources($gamma->ip, $capture->stop), $asked,
            %$asked ? 'its EPMD, which is allowed, was asked, and nothing else' : 'nothing has left the host');
        my @said = $alpha->log(qr/event=refused peer="?\Q${\$gamma->ip}\E\S* .*direction=out.*not in (?:$key) \(\S+:\d+\)/);
        cmp_ok(scalar @said, '>', 0, 'the log says why') or diag $alpha->log;
        is($a->call('net_adm:ping(' . $four->atom . ')'), 'pong', 'an allowed one is reached');
        $a->kill;
    }
    $alpha->shim(conf => { distribution => {@both} });
    my $free = $alpha->node('free', long => 1, shim => 1);
    my $capture = $gamma->capture;
    is($free->call('net_adm:ping(' . $elsewhere->atom . ')'), 'pong', 'without allow_to the same host is reached');
    is_deeply(sources($gamma->ip, $capture->stop), { map { $_ => $alpha->ip } EPMD_PORT, GAMMA_PORT }, 'and the capture shows it');
};

done_testing;
