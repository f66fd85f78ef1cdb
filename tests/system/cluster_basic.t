#!/usr/bin/perl
# Nodes on two and three hosts form a cluster with nothing but their environment changed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma) = map { $lab->host($_) } qw(alpha beta gamma);
my $a = $alpha->node('a', long => 1, shim => 1);
my $b = $beta->node('b', long => 1, shim => 1);
my ($A, $B) = ($a->atom, $b->atom);

subtest 'ping and calls' => sub {
    is($a->call("net_adm:ping($B)"), 'pong', 'ping');
    is($b->call("net_adm:ping($A)"), 'pong', 'and back');
    is($a->call('nodes()'), "[$B]", 'the other is in nodes()');
    is($a->call("erpc:call($B, erlang, node, [])"), $B, 'erpc:call');
    is($b->call("rpc:call($A, erlang, node, [])"), $A, 'rpc:call');
    is($a->call("erpc:multicall([node(), $B], erlang, node, [])"), "[{ok,$A},{ok,$B}]", 'erpc:multicall');
};

subtest 'links and monitors' => sub {
    is($a->call(<<"    END"), 'killed', 'a monitor tells of a remote process that was killed');
        Remote = spawn($B, timer, sleep, [infinity]),
        Reference = monitor(process, Remote),
        exit(Remote, kill),
        receive {'DOWN', Reference, process, Remote, Reason} -> Reason after 10000 -> nothing end
    END
    is($b->call(<<"    END"), 'boom', 'a link brings the exit of a remote process');
        process_flag(trap_exit, true),
        Remote = spawn_link($A, timer, sleep, [infinity]),
        exit(Remote, boom),
        receive {'EXIT', Remote, Reason} -> Reason after 10000 -> nothing end
    END
    is($a->call(<<"    END"), 'noconnection', 'a monitor tells of a connection that ended');
        Remote = spawn($B, timer, sleep, [infinity]),
        Reference = monitor(process, Remote),
        true = erlang:disconnect_node($B),
        receive {'DOWN', Reference, process, Remote, Reason} -> Reason after 10000 -> nothing end
    END
    is($a->call("net_adm:ping($B)"), 'pong', 'and the nodes join again');
};

subtest 'a hidden node' => sub {
    my $hidden = $gamma->node('hidden', long => 1, shim => 1, args => ['-hidden']);
    is($hidden->call("net_adm:ping($A)"), 'pong', 'it joins');
    is($a->call('lists:member(' . $hidden->atom . ', nodes(hidden))'), 'true', 'as a hidden one');
    is($a->call('lists:member(' . $hidden->atom . ', nodes())'), 'false', 'and only so');
    $hidden->stop;
};

subtest 'distribution started at run time' => sub {
    my $late = $gamma->node(undef, shim => 1);
    is($late->call('node()'), 'nonode@nohost', 'the node begins without distribution');
    my $name = "'late\@" . $gamma->place . "'";
    like($late->call("net_kernel:start([$name, longnames])"), qr/^\{ok,<.*>\}$/, 'net_kernel:start');
    is($late->call("net_adm:ping($A)"), 'pong', 'it joins');
    is($late->call('net_kernel:stop()'), 'ok', 'net_kernel:stop');
    # EPMD may read the next registration before it sees the end of the last, with the library as without it.
    wait_until('EPMD has seen the end of it', 10, sub { $gamma->must(qw(epmd -names)) !~ /^name late /m });
    like($late->call("net_kernel:start([$name, longnames])"), qr/^\{ok,<.*>\}$/, 'started once more');
    is($b->call("net_adm:ping($name)"), 'pong', 'and reached from another node');
    $late->stop;
};

subtest 'three nodes and their global names' => sub {
    my $c = $gamma->node('c', long => 1, shim => 1);
    my $C = $c->atom;
    is($c->call("net_adm:ping($A)"), 'pong', 'the third joins the first');
    is($c->call(<<"    END"), 'true', 'and is led to the second');
        Wait = fun Wait(0) -> nodes();
                   Wait(N) -> case lists:sort(nodes()) of
                                  [$A, $B] -> true;
                                  _ -> timer:sleep(50), Wait(N - 1)
                              end
               end,
        Wait(200)
    END
    is($_->call('global:sync()'), 'ok', $_->name . ' is in step') for $a, $b, $c;
    is($a->call('global:register_name(lamp, spawn(timer, sleep, [infinity]))'), 'yes', 'a name registered on one node');
    is($_->call('node(global:whereis_name(lamp))'), $A, 'is known on ' . $_->name) for $b, $c;
    is($c->call('exit(global:whereis_name(lamp), kill)'), 'true', 'its process is killed from afar');
    is($b->call(<<'    END'), 'undefined', 'and the name is gone everywhere');
        Wait = fun Wait(0) -> global:whereis_name(lamp);
                   Wait(N) -> case global:whereis_name(lamp) of
                                  undefined -> undefined;
                                  _ -> timer:sleep(50), Wait(N - 1)
                              end
               end,
        Wait(200)
    END
};

done_testing;
