#!/usr/bin/perl
# Fixed ports: a node that is started again at once gets its port back, though connections of its former life are still
# there, and a second node of the same range takes the next; all of them at the designated address, however the port
# came to be known.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners reached);
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

use constant { FIRST => 9600, LAST => 9605 };

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my ($designated) = $alpha->interface('eth1', 78);
my ($peer) = $beta->interface('eth1', 78);
plan skip_all => 'nothing is moved without the library' if !$alpha->shim_env;
my %bind = (bind => '10.78.0.0/16');
$_->shim(conf => { distribution => {%bind} }) for $alpha, $beta;

my $config = $lab->temp_path('config');
open(my $file, '>', $config) or die "$config: $!";
print {$file} "[{kernel, [{inet_dist_listen_min, ${\FIRST}}, {inet_dist_listen_max, ${\LAST}}]}].\n";
close $file;
my $policy = $alpha->shim(conf => { distribution => { %bind, ports => [FIRST . '-' . LAST] } }, file => $lab->temp_path('conf'));
my @config = ('-config', $config =~ s/\.config\z//r);

my @ways = (
    ['the command line',      { args => [qw(-kernel inet_dist_listen_min), FIRST, 'inet_dist_listen_max', LAST] }],
    ['the sys.config',        { args => [@config] }],
    ['the sys.config and the policy', { args => [@config], env => { DISTGUARD_CONF => $policy } }],
);

sub start { my ($name, $how) = @_; return $alpha->node("$name\@$designated", long => 1, shim => 1, %$how) }

sub is_at {
    my ($node, $port, $what) = @_;
    is_deeply([listeners($alpha, $node->pid)], ["$designated $port"], $what);
}

my $b = $beta->node("b\@$peer", long => 1, shim => 1);
for my $way (@ways) {
    my ($what, $how) = @$way;
    subtest "ports of $what" => sub {
        my $a = start('a', $how);
        is_at($a, FIRST, 'the node listens at the designated address');
        is_deeply([reached($beta, $alpha, FIRST)], [$designated], 'and is reached there alone');
        for my $end (qw(kill stop kill)) {
            is($b->call('net_adm:ping(' . $a->atom . ')'), 'pong', 'a peer connects');
            $a->$end;
            $a = start('a', $how);
            is_at($a, FIRST, "started again at once after its $end, it has the same port");
        }
        is($b->call('net_adm:ping(' . $a->atom . ')'), 'pong', 'the peer connects again');
        my $second = start('second', $how);
        is_at($second, FIRST + 1, 'a second node has the next port');
        is($b->call('net_adm:ping(' . $second->atom . ')'), 'pong', 'the peer connects to it, too');
        $_->kill for $a, $second;
    };
}

subtest 'a port that another program has at another address' => sub {
    my $other = $alpha->spawn('perl', '-MIO::Socket::INET', '-e', <<'    END', $alpha->ip, FIRST);
        IO::Socket::INET->new(LocalAddr => $ARGV[0], LocalPort => $ARGV[1], Listen => 1, ReuseAddr => 1)->accept;
    END
    wait_until('it listens', 10, sub { listeners($alpha, $other->pid) });
    my $known = start('known', $ways[0][1]);
    is_at($known, FIRST, 'is free for a node whose port is known');
    $_->kill for $other, $known;
};

subtest 'without the library' => sub {
    my $plain = $alpha->node("plain\@$designated", long => 1, %{ $ways[0][1] });
    is_deeply([listeners($alpha, $plain->pid)], ['0.0.0.0 ' . FIRST], 'the node listens everywhere');
    $plain->kill;
};

done_testing;
