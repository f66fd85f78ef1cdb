#!/usr/bin/perl
# What is not distribution keeps its addresses, in the strictest policy: the application's listeners and connections in a
# guarded VM, and every listener of a program that is not guarded.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners open_ports);
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

use constant { EPMD_PORT => 4369, FIXED_PORT => 9700, FIRST => 9801 };

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my ($designated, $designated6) = $alpha->interface('eth1', 78);
$beta->interface('eth1', 78);
plan skip_all => 'there is nothing to spare without the library' if !$alpha->shim_env;

# No other host may connect or be connected to.
$alpha->shim(conf => {
    distribution => {
        bind         => [$designated, $designated6],
        connect_from => $designated,
        allow_from   => [$designated],
        allow_to     => [$designated],
        ports        => [ FIXED_PORT ],
    },
});

sub tuple { '{' . $_[0] =~ tr/./,/r . '}' }

for my $shim (0, 1) {
    subtest(($shim ? 'a guarded' : 'an unguarded') . ' node' => sub {
        my $node = $alpha->node('a', shim => $shim);
        my @wanted = (
            ['0.0.0.0',      'inet, {ip, any}'],
            ['::',           'inet6, {ipv6_v6only, true}'],
            ['*',            'inet6'],
            [$alpha->ip,     'inet, {ip, ' . tuple($alpha->ip) . '}'],
            ['127.0.0.1',    'inet, {ip, loopback}'],
        );
        my $port = FIRST;
        for my $case (@wanted) {
            my ($address, $options) = @$case;
            is($node->call(<<"            END"), 'ok', "a listener at $address is opened");
                Starter = self(),
                spawn(fun() ->
                    {ok, Listener} = gen_tcp:listen($port, [$options, {reuseaddr, true}, {active, false}]),
                    Starter ! opened,
                    Accept = fun Accept() ->
                        {ok, Socket} = gen_tcp:accept(Listener),
                        gen_tcp:send(Socket, "welcome"),
                        gen_tcp:close(Socket),
                        Accept()
                    end,
                    Accept()
                end),
                receive opened -> ok after 5000 -> timeout end
            END
            is(scalar(grep { $_ eq "$address $port" } listeners($alpha, $node->pid)), 1, 'and is there');
            $port++;
        }
        is($beta->must('perl', '-MIO::Socket::INET', '-e', <<'        END', $alpha->ip, FIRST), 'welcome', 'another host is served');
            my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die $@;
            local $/;
            print <$socket>;
        END

        # A server on the other host that tells its clients from where they come.
        my $server = $beta->spawn('perl', '-MIO::Socket::INET', '-e', <<'        END', FIRST);
            my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 1, ReuseAddr => 1) or die $@;
            while (my $client = $listener->accept) { syswrite $client, $client->peerhost }
        END
        wait_until('the server listens', 10, sub { listeners($beta, $server->pid) });
        is($node->call(<<"        END"), '"' . $alpha->ip . '"', 'a connection to another host has the address the kernel chose');
            {ok, Socket} = gen_tcp:connect(${\tuple($beta->ip)}, ${\FIRST}, [{active, false}]),
            {ok, Address} = gen_tcp:recv(Socket, 0, 5000),
            Address
        END
        $_->kill for $node, $server;
    });
}

# The command line says 9000 to 9999, the node has taken the first.
subtest 'an application in the range of distribution ports' => sub {
    for my $shim (0, 1) {
        my $with = $shim ? 'with the library' : 'without the library';
        my $node = $alpha->node('ranged', shim => $shim, args => [qw(-kernel inet_dist_listen_min 9000 inet_dist_listen_max 9999)]);
        is($node->call('dg_lab_neighbours:http_server("' . $alpha->dir . '", 9090)'), 'ok', "$with, a web server at port 9090");
        my $distribution = $shim ? $designated : '0.0.0.0';
        is_deeply([listeners($alpha, $node->pid)], [sort "$distribution 9000", '0.0.0.0 9090'], "$with, both listen where they should");
        like($node->call('dg_lab_neighbours:http_client("http://' . $alpha->ip . ':9090/page.txt")'), qr/^\{200,/, "$with, it serves");
        $node->kill;
    }
};

subtest 'programs that are not guarded' => sub {
    $alpha->stop_epmd;
    for my $port (EPMD_PORT, FIXED_PORT) {
        my $server = $alpha->spawn({ env => { $alpha->shim_env } }, 'perl', '-MIO::Socket::INET', '-e', <<'        END', $port);
            my $listener = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 1, ReuseAddr => 1) or die $@;
            while (my $client = $listener->accept) { syswrite $client, 'welcome' }
        END
        wait_until('the server listens', 10, sub { listeners($alpha, $server->pid) });
        is_deeply([listeners($alpha, $server->pid)], ["0.0.0.0 $port"], "a Perl server at port $port listens everywhere");
        is_deeply([open_ports($beta, $alpha->ip, $port)], [$port], 'and is reached');
        $server->kill;
    }
};

done_testing;
