#!/usr/bin/perl
# As same_as_plain.t, of what depends on how a node is started: the options of distribution, what is printed, and what a
# node makes of a peer whose host vanishes.
#
# same_as_plain_starts.t [CASE...], a case being the beginning of its name.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Judge qw(worlds world_args compare comparable);
use Distguard::Lab::Wait qw(wait_for);
use Test::More;

use constant { TICK_TIME => 4, PATIENCE => 30 };

my $lab = Distguard::Lab->new;
plan skip_all => 'there is nothing to compare without the library' if $ENV{DISTGUARD_LAB_PLAIN};

my @worlds = worlds($lab);

sub chosen {
    my ($what) = @_;
    return !@ARGV || grep { index($what, $_) == 0 } @ARGV;
}

sub tuple { '{' . $_[0]->ip =~ tr/./,/r . '}' }

# --- nodes that come up ---

# Each: what, options of erl, what the node is asked. HERE and THERE are the addresses, PEER is the node on the other host.
my $Listeners = 'lists:usort([A || L <- erlang:ports(), erlang:port_info(L, name) =:= {name, "tcp_inet"},
    {ok, {A, _}} <- [inet:sockname(L)], inet:peername(L) =:= {error, enotconn}])';
my @NODES = (
    ['as it is', [], 'connected(PEER), {net_kernel:get_state(), nodes()}'],
    ['hidden', ['-hidden'], 'connected(PEER), {nodes(), nodes(hidden), erpc:call(PEER, erlang, nodes, [hidden])}'],
    ['without a listener', [qw(-dist_listen false)],
        'connected(PEER), {nodes(), nodes(hidden), net_kernel:get_state(), erpc:call(PEER, erl_epmd, port_please, [NAME, HERE])}'],
    ['ports from a range', [qw(-kernel inet_dist_listen_min 9850 inet_dist_listen_max 9852)],
        'connected(PEER), {erl_epmd:port_please(NAME, HERE), erpc:call(PEER, erl_epmd, port_please, [NAME, HERE])}'],
    ['at an interface', ['-kernel', 'inet_dist_use_interface', 'HERE'], "connected(PEER), $Listeners"],
    ['options of listeners and connections', ['-kernel',
            'inet_dist_listen_options', '[{priority,3},{sndbuf,30000},{recbuf,40000},{high_watermark,50000},{keepalive,true},{tos,8},{ttl,61},{recvtos,true},{recvttl,true}]',
            'inet_dist_connect_options', '[{priority,4},{sndbuf,20000},{buffer,9000},{linger,{true,1}},{show_econnreset,true}]'],
        'Options = [priority, sndbuf, recbuf, buffer, high_watermark, keepalive, tos, ttl, recvtos, recvttl, linger, nodelay, show_econnreset],
         connected(PEER), Made = net_kernel:getopts(PEER, Options), Self = node(),
         application:set_env(kernel, dist_auto_connect, never),
         spawn(PEER, fun() -> timer:sleep(500), net_kernel:connect_node(Self) end),
         timer:sleep(100), true = erlang:disconnect_node(PEER), ok = dg_judge:wait(fun() -> nodes() =:= [PEER] end),
         {Made, net_kernel:getopts(PEER, Options)}'],
    ['never by itself', [qw(-kernel dist_auto_connect never)],
        '{net_adm:ping(PEER), nodes(), net_kernel:connect_node(PEER), net_adm:ping(PEER)}'],
    ['once by itself', [qw(-kernel dist_auto_connect once)],
        # And the peer not at all, or it is sometimes quicker than the second ping.
        '{net_adm:ping(PEER), erpc:call(PEER, application, set_env, [kernel, dist_auto_connect, never]),
          erlang:disconnect_node(PEER), ok = dg_judge:wait(fun() -> nodes(connected) =:= [] end),
          net_adm:ping(PEER), net_kernel:connect_node(PEER), erpc:call(PEER, application, unset_env, [kernel, dist_auto_connect])}'],
    ['waits for others', ['-kernel', 'sync_nodes_mandatory', '[PEER]', 'sync_nodes_timeout', '20000'], 'nodes()'],
    ['another cookie', [qw(-setcookie other)], '{net_adm:ping(PEER), erlang:set_cookie(PEER, lab), net_adm:ping(PEER), erpc:call(PEER, net_adm, ping, [node()])}'],
    ['a new tick time', [], 'connected(PEER), {net_kernel:set_net_ticktime(8, 1), net_kernel:get_net_ticktime(),
         dg_judge:outcome(fun() -> dg_judge:wait(fun() -> net_kernel:get_net_ticktime() =:= 8 end) end), nodes()}'],
);

# Started at run time, in a node that was not distributed.
my @LATE = (
    ['a name of its own', '[net_kernel:start([LATE, longnames]), net_adm:ping(PEER), node(), net_kernel:stop(),
         dg_judge:wait(fun() -> node() =:= nonode@nohost end), nodes()]'],
    ['by a map', 'case erlang:function_exported(net_kernel, start, 2) of false -> none; true ->
         [net_kernel:start(LATE, #{name_domain => longnames, dist_listen => false, hidden => true, net_ticktime => 20}), net_adm:ping(PEER),
          net_kernel:get_state(), nodes(), nodes(hidden), net_kernel:stop()] end'],
    ['a name that the peer gives', 'case erlang:function_exported(net_kernel, start, 2) of false -> none; true ->
         [net_kernel:start(undefined, #{name_domain => longnames}), net_kernel:connect_node(PEER), node() =/= nonode@nohost,
          maps:remove(name, net_kernel:get_state()), erlang:disconnect_node(PEER), net_kernel:connect_node(PEER), length(nodes(hidden)), net_kernel:stop()] end'],
    ['again and again', '[begin {ok, _} = net_kernel:start([list_to_atom("again" ++ integer_to_list(N) ++ "@" ++ HOST), longnames]),
         Ping = net_adm:ping(PEER), ok = net_kernel:stop(), Ping end || N <- lists:seq(1, 5)]'],
);

sub placed {
    my ($world, $text, $name) = @_;
    my ($here, $there) = @{ $world->{hosts} };
    my %stands = (HERE => tuple($here), THERE => tuple($there), PEER => $world->{nodes}[1]->atom, NAME => qq("$name"),
        HOST => '"' . $here->place . '"', LATE => "'$name\@" . $here->place . "'");
    $text =~ s/\b(HERE|THERE|PEER|NAME|HOST|LATE)\b/$stands{$1}/g;
    $text =~ s/\bconnected\(([^)]*)\)/true = net_kernel:connect_node($1)/g;
    return $text;
}

my $count = 0;

sub started_nodes {
    my (@cases) = @_;
    for my $case (@cases) {
        my $name = sprintf 's%02d', $count++;
        $case->{nodes} = [map { my $world = $_; my $host = $world->{hosts}[0];
            $host->start_node($case->{late} ? (undef) : ($name, long => 1), shim => $world->{shim},
                args => [world_args($lab), qw(-connect_all false), map { placed($world, $_, $name) } @{ $case->{args} }]) } @worlds];
        $case->{name} = $name;
    }
    for my $case (@cases) {
        my @node = map { $_->wait_up } @{ $case->{nodes} };
        my @asked = map { $node[$_]->begin('dg_judge:ordered(begin ' . placed($worlds[$_], $case->{ask}, $case->{name}) . ' end)') } 0, 1;
        compare($case->{what}, map { comparable($worlds[$_], eval { $node[$_]->result($asked[$_]) } // "the_case_crashed: $@") } 0, 1);
        eval { $_->begin('init:stop()') } for @node;
    }
    for my $case (@cases) {
        $_->process->wait(PATIENCE) or $_->kill for @{ $case->{nodes} };
        silent($case->{what}, @{ $case->{nodes} });
    }
}

# What the nodes have printed until their end. That the logger ends with the rest, or before, is a race of OTP's.
sub silent {
    my ($what, @nodes) = @_;
    my @printed = map { my $n = $_; join '', sort { $a cmp $b } map { "$_\n" } grep { /\S/ && !/^Logger - error:|removed_failing_handler/ }
        split /\n/, comparable($worlds[$n], $nodes[$n]->process->out . $nodes[$n]->process->err) } 0, 1;
    compare("$what: what is printed", @printed);
}

while (my @some = splice @NODES, 0, 7) {
    started_nodes(map { { what => "node: $_->[0]", args => $_->[1], ask => $_->[2] } } grep { chosen("node: $_->[0]") } @some);
}
started_nodes(map { { what => "late: $_->[0]", args => [], ask => $_->[1], late => 1 } } grep { chosen("late: $_->[0]") } @LATE);

# Which nodes may connect.
sub allowing {
    my @node = map { $_->{hosts}[0]->start_node('allowing', long => 1, shim => $_->{shim}, args => [world_args($lab)]) } @worlds;
    my @answer = map {
        my ($node, $world) = ($node[$_]->wait_up, $worlds[$_]);
        my $peer = $world->{nodes}[1];
        my $connect = 'net_kernel:connect_node(' . $node->atom . ')';
        comparable($world, join ' ', map { @$_ } map { [$node->call("net_kernel:allow([$_])"), $peer->call($connect)] }
            "'nobody\@nowhere'", $peer->atom);
    } 0, 1;
    compare('node: allows some', @answer);
    $_->stop for @node;
    silent('node: allows some', @node);
}
allowing() if chosen('node: allows some');

# --- a host that vanishes ---

# What a node does whose peer's host is gone without a word, while it has much to send.
my $Vanishing = <<'END';
    ok = net_kernel:monitor_nodes(true, [nodedown_reason]),
    Begin = erlang:monotonic_time(millisecond),
    Filler = spawn(fun Fill() -> {nobody, OTHER} ! binary:copy(<<0>>, 1000000), timer:sleep(20), Fill() end),
    Down = receive {nodedown, _, _} = D -> D after 30000 -> up end,
    exit(Filler, kill),
    Took = erlang:monotonic_time(millisecond) - Begin,
    {Down, if Took > 2000, Took < 12000 -> in_time; true -> Took end}
END

# An idle connection: what is sent, as long as its carrier is a port, which has figures.
my $Ticking = <<'END';
    true = net_kernel:connect_node(OTHER),
    Sent = fun() -> case lists:keyfind(OTHER, 1, erlang:system_info(dist_ctrl)) of
                        {_, Port} when is_port(Port) -> {ok, [{_, Octets}]} = inet:getstat(Port, [send_oct]), Octets;
                        _ -> erlang:monotonic_time(second) * 4
                    end end,
    timer:sleep(1500), Before = Sent(), timer:sleep(4000), Ticks = (Sent() - Before) div 4,
    {nodes(), if Ticks >= 2, Ticks =< 6 -> ticks; true -> Ticks end}
END

sub vanishes {
    my @pair = map { my $world = $_; [map { $_->start_node('t', long => 1, shim => $world->{shim},
        args => [world_args($lab), '-kernel', 'net_ticktime', TICK_TIME]) } @{ $world->{hosts} }] } @worlds;
    $_->wait_up for map {@$_} @pair;
    my $answers = sub {
        my ($expression, $meanwhile) = @_;
        my @asked = map { my ($mine, $other) = @$_; $mine->begin($expression =~ s/OTHER/$other->atom/ger) } @pair;
        $meanwhile->() if $meanwhile;
        return map { comparable($worlds[$_], $pair[$_][0]->result($asked[$_])) } 0, 1;
    };
    compare('an idle connection', $answers->($Ticking));
    my @port = map { $_->{hosts}[1]->port } @worlds;
    compare('a host vanishes', $answers->($Vanishing, sub { $lab->must(qw(ip link set), $_, 'down') for @port }));
    $lab->must(qw(ip link set), $_, 'up') for @port;
    compare('and comes back', map {
        my ($mine, $other) = @$_;
        wait_for(PATIENCE, sub { $mine->call('net_kernel:connect_node(' . $other->atom . ')') eq 'true' }) ? 'connected' : 'the_case_hangs';
    } @pair);
    $_->kill for map {@$_} @pair;
}
vanishes() if chosen('a host vanishes');

# --- what the nodes of all this printed ---

silent('the nodes that were there all the while', map { $_->{nodes}[0] } @worlds);

done_testing;
