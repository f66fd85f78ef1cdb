%% What OTP promises of distribution: of the connection, of what passes it, of its end, and of what is built on it.
-module(dg_judge_distribution).
-export([nodes_known/1, node_info/1, listener_address/1, carrier/1, carrier_options/1, carrier_counts/1, carrier_figures/1, ends_of_it/1,
         set_options/1, options_of_all/1, system_figures/1, flags/1, state_of_net_kernel/1,
         sizes/1, fragments/1, order/1, two_hundred_megabytes/1, terms/1, to_names/1, exit_signals/1, links/1,
         monitors/1, monitors_of_names/1, aliases/1, spawns/1, spawn_requests/1, group_leaders/1, remote_output/1,
         process_information/1, busy_channel/1, killed_while_it_waits/1,
         erpc_calls/1, erpc_failures/1, erpc_requests/1, rpc_calls/1, multicalls/1, servers/1, remote_code/1,
         disconnecting/1, disconnecting_there/1, monitoring_a_node/1, carrier_closed/1, carrier_killed/1,
         carrier_shut_down/1, nodedown_while_calling/1, reconnecting/1, at_the_same_time/1, cycles/1,
         nobody_of_that_name/1, no_such_host/1, nobody_at_that_host/1, wrong_cookie/1, never_by_itself/1,
         once_by_itself/1, hidden_connection/1, passive_connection/1, sends_without_connection/1,
         names_of_epmd/1, names_of_own_epmd/1, ports_of_epmd/1, addresses/1, worlds/1,
         global_names/1, global_locks/1, global_conflicts/1, groups/1, tick_time/1, tracing_over_tcp/1,
         a_carrier_cannot_be_read/1, statistics_of_ports/1, nodes_started_by_peer/1, nodes_started_by_slave/1]).
-export([echo/0, waiting/0, say/2]).

-define(PATIENCE, 10000).

%% --- helpers that run on either node ---

echo() ->
    receive
        {From, Reference, Data} -> From ! {Reference, Data}, echo();
        {hash, From, Reference, Data} -> From ! {Reference, erlang:crc32(Data)}, echo();
        stop -> ok
    end.

waiting() -> receive {exit, Reason} -> exit(Reason); stop -> ok end.

say(To, What) -> To ! {said, What}.

ask(Echo, Data) ->
    Reference = make_ref(),
    Echo ! {self(), Reference, Data},
    receive {Reference, Back} -> Back after ?PATIENCE -> timeout end.

hash(Echo, Data, Patience) ->
    Reference = make_ref(),
    Echo ! {hash, self(), Reference, Data},
    receive {Reference, Hash} -> Hash after Patience -> timeout end.

noise(Size) -> binary:part(binary:copy(<< <<(erlang:phash2(N)):32>> || N <- lists:seq(1, 5000) >>, Size div 20000 + 1), 0, Size).

next() -> receive Any -> Any after ?PATIENCE -> nothing end.

next(Silence) -> receive Any -> Any after Silence -> nothing end.

%% --- what a node says of a connection ---

nodes_known(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    {nodes(), nodes(connected), nodes(hidden), nodes(this), lists:member(Peer, nodes(known)), node(), is_alive(),
     dg_judge:there(World, fun() -> nodes() end)}.

%% The port of the address is that of the listener, or the one that the kernel chose for the other end.
node_info(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    {ok, Info} = net_kernel:node_info(Peer),
    {ok, Address} = net_kernel:node_info(Peer, address),
    {[case Item of
          {owner, Owner} -> {owner, is_pid(Owner)};
          {address, {net_address, {Ip, Port}, Host, Protocol, Family}} ->
              {address, {net_address, {Ip, is_integer(Port)}, Host, Protocol, Family}};
          {Count, Number} when Count =:= in; Count =:= out -> {Count, Number > 0};
          Other -> Other
      end || Item <- Info],
     element(4, Address), net_kernel:node_info(Peer, state), net_kernel:node_info(Peer, type), net_kernel:node_info('no@one'),
     length(element(2, net_kernel:nodes_info()))}.

%% Of the listeners that this VM has, that which EPMD names for it.
listener_address(_) ->
    [Name, _] = string:split(atom_to_list(node()), "@"),
    {port, Port, _} = erl_epmd:port_please(Name, {127, 0, 0, 1}),
    [case lists:usort(tuple_to_list(Address)) of [0] -> wildcard; _ -> Address end || Listener <- erlang:ports(), erlang:port_info(Listener, name) =:= {name, "tcp_inet"},
                {ok, {Address, P}} <- [inet:sockname(Listener)], P =:= Port, inet:peername(Listener) =:= {error, enotconn}].

carrier(World) ->
    dg_judge:connected(World),
    case dg_judge:dist_port(World) of
        Port when is_port(Port) ->
            {[case Item of
                  {id, _} -> id;
                  {Count, Number} when Count =:= input; Count =:= output -> {Count, Number > 0};
                  Other -> Other
              end || Item <- erlang:port_info(Port)],
             [erlang:port_info(Port, Item) || Item <- [queue_size, locking, parallelism, monitors, monitored_by, os_pid]],
             inet:info(Port) =/= undefined};
        Pid when is_pid(Pid) ->
            dg_judge:wait(fun() -> process_info(Pid, status) =:= {status, waiting} end),
            process_info(Pid, [links, priority])
    end.

%% Runs with the carrier if it is a port; what the socket module carries has no options to ask for.
with_port(World, Fun) ->
    dg_judge:connected(World),
    case dg_judge:dist_port(World) of
        Port when is_port(Port) -> Fun(Port);
        Pid when is_pid(Pid) -> a_process
    end.

carrier_options(World) ->
    with_port(World, fun(Port) ->
        [dg_judge:outcome(fun() -> inet:getopts(Port, [Option]) end)
         || Option <- [active, buffer, delay_send, deliver, dontroute, exit_on_close, header, high_watermark, keepalive,
                       linger, low_watermark, mode, nodelay, packet, packet_size, priority, reuseaddr, send_timeout,
                       send_timeout_close, show_econnreset, tos, ttl, recvtos, bind_to_device, netns, pktoptions,
                       {raw, 6, 1, 4}, {raw, 1, 38, 4}, {raw, 1, 4, 4}, {raw, 6, 11, 1}, {raw, 6, 31, 16}]]
            %% How large, is the kernel's: it lets them grow with what went through.
            ++ [{Option, Size > 0} || {Option, Size} <- element(2, {ok, _} = inet:getopts(Port, [sndbuf, recbuf]))]
    end).

%% How many bytes and packets the driver has seen for one message and its answer: the least of some tries, as ticks and
%% others' messages come in between.
carrier_counts(#{peer := Peer} = World) ->
    with_port(World, fun(Port) ->
        Echo = spawn(Peer, ?MODULE, echo, []),
        Count = fun(Data) ->
            {ok, Before} = inet:getstat(Port, [send_oct, send_cnt, recv_oct, recv_cnt]),
            Data = ask(Echo, Data),
            {ok, After} = inet:getstat(Port, [send_oct, send_cnt, recv_oct, recv_cnt]),
            [B - A || {{_, A}, {_, B}} <- lists:zip(Before, After)]
        end,
        [lists:min([Count(Data) || _ <- lists:seq(1, 8)]) || Data <- [<<>>, noise(1000), noise(100000)]]
    end).

carrier_figures(World) ->
    with_port(World, fun(Port) ->
        {ok, All} = inet:getstat(Port),
        {[Name || {Name, _} <- All], inet:getstat(Port, [send_pend]), erlang:port_info(Port, name)}
    end).

ends_of_it(World) ->
    with_port(World, fun(Port) ->
        {ok, {Own, OwnPort}} = inet:sockname(Port),
        {ok, {Their, TheirPort}} = inet:peername(Port),
        {Own, Their, is_integer(OwnPort), is_integer(TheirPort), inet:peernames(Port) =:= {ok, [{Their, TheirPort}]}}
    end).

set_options(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Get = fun() -> net_kernel:getopts(Peer, [nodelay, keepalive, priority, tos, linger]) end,
    Before = Get(),
    Set = net_kernel:setopts(Peer, [{nodelay, false}, {keepalive, true}, {priority, 4}, {tos, 8}]),
    After = Get(),
    Back = net_kernel:setopts(Peer, [{nodelay, true}, {keepalive, false}, {tos, 0}, {priority, 0}]),
    {Before, Set, After, Back, Get(), [dg_judge:outcome(fun() -> net_kernel:setopts(Peer, [Option]) end)
                                       || Option <- [{active, false}, {packet, 2}, {unheard_of, true}]],
     dg_judge:outcome(fun() -> net_kernel:getopts('no@one', [nodelay]) end),
     %% The connection has survived it.
     erpc:call(Peer, erlang, node, [])}.

%% OTP's net_kernel does not survive it where the socket module carries distribution.
options_of_all(#{peer := Peer} = World) ->
    with_port(World, fun(_) ->
        Set = net_kernel:setopts(new, [{keepalive, true}]),
        dg_judge:disconnected(World),
        dg_judge:connected(World),
        Fresh = net_kernel:getopts(Peer, [keepalive]),
        {Set, Fresh, net_kernel:setopts(new, [{keepalive, false}]), net_kernel:setopts(all, [{keepalive, false}]),
         net_kernel:getopts(Peer, [keepalive])}
    end).

system_figures(World) ->
    dg_judge:connected(World),
    {[Peer || {Peer, _} <- erlang:system_info(dist_ctrl)], erlang:system_info(dist_buf_busy_limit),
     is_integer(erlang:system_info(creation)), erlang:get_cookie(), net_kernel:longnames(), net_kernel:get_net_ticktime(),
     lists:sort(registered()), lists:sort([element(1, C) || C <- supervisor:which_children(net_sup)]),
     length(supervisor:which_children(kernel_sup)), erlang:system_flag(schedulers_online, erlang:system_info(schedulers_online)) > 0}.

%% What this node says to others that it can.
flags(_) ->
    dg_judge:outcome(fun() -> erts_internal:get_dflags() end).

state_of_net_kernel(_) ->
    dg_judge:outcome(fun() -> net_kernel:get_state() end).

%% --- messages ---

sizes(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Echo = spawn(Peer, ?MODULE, echo, []),
    [begin Data = noise(Size), {Size, ask(Echo, Data) =:= Data} end
     || Size <- [0, 1, 63, 64, 65, 1400, 1459, 1460, 1461, 4096, 16383, 16384, 16385, 65000, 65535, 65536, 65537, 131072,
                 1000000, 16777216]].

%% Several large messages to several processes at once, with small ones in between.
fragments(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Self = self(),
    Workers = [spawn_link(fun() ->
        Echo = spawn(Peer, ?MODULE, echo, []),
        Data = noise(Size),
        Self ! {self(), [hash(Echo, Data, 3 * ?PATIENCE) =:= erlang:crc32(Data) || _ <- lists:seq(1, Times)]}
    end) || {Size, Times} <- [{3000000, 3}, {1000001, 6}, {70000, 30}, {10, 300}]],
    [receive {Worker, All} -> {length(All), lists:usort(All)} after 3 * ?PATIENCE -> timeout end || Worker <- Workers].

order(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    dg_lab_traffic:ordered(Peer, 100000).

two_hundred_megabytes(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Data = noise(200000000),
    Echo = spawn(Peer, ?MODULE, echo, []),
    {hash(Echo, Data, 3 * ?PATIENCE) =:= erlang:crc32(Data), nodes()}.

terms(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Echo = spawn(Peer, ?MODULE, echo, []),
    Terms = [self(), make_ref(), fun erlang:node/0, fun(X) -> X + 1 end, #{a => 1.5, <<"b">> => [c | d]}, {}, "text", <<1:3>>,
             1 bsl 2000, -1, list_to_tuple(lists:seq(1, 300)), 'an atom that nobody knows', hd(erlang:ports()),
             maps:from_list([{N, N * N} || N <- lists:seq(1, 100)]), <<"x">>, binary:part(noise(1000), 1, 900)],
    [ask(Echo, Term) =:= Term || Term <- Terms].

to_names(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Echo = spawn(Peer, ?MODULE, echo, []),
    true = erpc:call(Peer, erlang, register, [judge_echo, Echo]),
    Reference = make_ref(),
    {judge_echo, Peer} ! {self(), Reference, hello},
    Answer = receive {Reference, Data} -> Data after ?PATIENCE -> timeout end,
    Echo ! stop,
    {Answer, erlang:send({judge_echo, Peer}, hello, [noconnect, nosuspend]), {nobody, Peer} ! lost}.

exit_signals(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    [begin
        {Pid, Reference} = spawn_monitor(Peer, ?MODULE, waiting, []),
        Result = case Reason of {self, R} -> Pid ! {exit, R}; _ -> exit(Pid, Reason) end,
        {Result =/= false, receive {'DOWN', Reference, process, Pid, Why} when byte_size(Why) > 100 -> {hash, erlang:phash2(Why)};
                                   {'DOWN', Reference, process, Pid, Why} -> Why after ?PATIENCE -> timeout end}
     end || Reason <- [kill, shutdown, {self, normal}, {self, {a, "reason"}}, boom, noise(200000), {self, noise(200000)}]].

links(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    process_flag(trap_exit, true),
    Pid = spawn_link(Peer, ?MODULE, waiting, []),
    {links, Linked} = process_info(self(), links),
    unlink(Pid),
    link(Pid),
    Pid ! {exit, over},
    First = receive {'EXIT', Pid, Why} -> Why after ?PATIENCE -> timeout end,
    link(Pid),
    Second = receive {'EXIT', Pid, Again} -> Again after ?PATIENCE -> timeout end,
    Last = spawn_link(Peer, ?MODULE, waiting, []),
    dg_judge:disconnected(World),
    {lists:member(Pid, Linked), First, Second, receive {'EXIT', Last, Lost} -> Lost after ?PATIENCE -> timeout end}.

monitors(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Pid = spawn(Peer, ?MODULE, waiting, []),
    Reference = monitor(process, Pid),
    {monitors, Monitored} = process_info(self(), monitors),
    true = demonitor(Reference, [flush]),
    Pid ! {exit, over},
    dg_judge:wait(fun() -> not erpc:call(Peer, erlang, is_process_alive, [Pid]) end),
    Late = monitor(process, Pid),
    First = receive {'DOWN', Late, process, Pid, Why} -> Why after ?PATIENCE -> timeout end,
    Other = spawn(Peer, ?MODULE, waiting, []),
    Lost = monitor(process, Other),
    dg_judge:disconnected(World),
    {length(Monitored), First, receive {'DOWN', Lost, process, Other, No} -> No after ?PATIENCE -> timeout end}.

monitors_of_names(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Reference = monitor(process, {nobody_there, Peer}),
    First = receive {'DOWN', Reference, process, Name, Why} -> {Name, Why} after ?PATIENCE -> timeout end,
    Nowhere = monitor(process, {nobody, 'no@nowhere.lab'}),
    {First, receive {'DOWN', Nowhere, process, Other, No} -> {Other, No} after ?PATIENCE -> timeout end}.

aliases(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Alias = alias([reply]),
    spawn(Peer, fun() -> Alias ! first, Alias ! second end),
    {next(), next(200)}.

spawns(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Self = self(),
    spawn(Peer, ?MODULE, say, [Self, one]),
    First = next(),
    {_, Reference} = spawn_opt(Peer, ?MODULE, say, [Self, two], [monitor, {priority, high}]),
    Second = [next(), next()],
    {_, Failed} = spawn_monitor(Peer, no_such_module, no_function, []),
    {First, [case M of {'DOWN', Reference, process, _, R} -> R; _ -> M end || M <- Second],
     receive {'DOWN', Failed, process, _, {Why, _}} -> Why after ?PATIENCE -> timeout end,
     node(spawn('no@nowhere.lab', ?MODULE, waiting, []))}.

spawn_requests(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    First = spawn_request(Peer, ?MODULE, waiting, [], [{reply_tag, mine}]),
    Second = spawn_request('no@nowhere.lab', ?MODULE, waiting, []),
    Third = spawn_request(Peer, ?MODULE, waiting, [], [{unheard_of, 1}]),
    [receive {mine, First, ok, Pid} -> {ok, node(Pid)} after ?PATIENCE -> timeout end,
     receive {spawn_reply, Second, error, Why} -> Why after ?PATIENCE -> timeout end,
     receive {spawn_reply, Third, error, Bad} -> Bad after ?PATIENCE -> timeout end].

group_leaders(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Self = self(),
    spawn(Peer, fun() -> Self ! {leader, group_leader()} end),
    receive {leader, Leader} -> {node(Leader), Leader =:= group_leader()} after ?PATIENCE -> timeout end.

%% Output of a process there goes to the leader here.
remote_output(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Self = self(),
    Leader = spawn_link(fun() -> serve_output(Self) end),
    Mine = group_leader(),
    group_leader(Leader, self()),
    ok = erpc:call(Peer, io, format, ["from afar, ~ts~n", [[228, 8364]]]),
    group_leader(Mine, self()),
    receive {output, Output} -> Output after ?PATIENCE -> timeout end.

serve_output(To) ->
    receive
        {io_request, From, ReplyAs, {put_chars, unicode, Module, Function, Arguments}} ->
            To ! {output, unicode:characters_to_list(apply(Module, Function, Arguments))},
            From ! {io_reply, ReplyAs, ok};
        {io_request, From, ReplyAs, {put_chars, unicode, Characters}} ->
            To ! {output, unicode:characters_to_list(Characters)},
            From ! {io_reply, ReplyAs, ok}
    end.

process_information(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Pid = spawn(Peer, ?MODULE, waiting, []),
    {dg_judge:outcome(fun() -> process_info(Pid) end), erpc:call(Peer, erlang, process_info, [Pid, [status, current_function,
     message_queue_len, links, monitors]]), erpc:call(Peer, erlang, is_process_alive, [Pid]),
     dg_judge:outcome(fun() -> is_process_alive(Pid) end)}.

%% --- a peer that reads nothing ---

signal(World, Name) ->
    "" = os:cmd("kill -" ++ Name ++ " " ++ maps:get(peer_pid, World)).

%% Who sends to a node that has stopped reading is suspended, those who do not want to be are told, and when the node goes
%% on, everything arrives.
busy_channel(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Echo = spawn(Peer, ?MODULE, echo, []),
    Watcher = self(),
    Before = erlang:system_monitor(self(), [busy_dist_port]),
    Carrier = dg_judge:dist_port(World),
    signal(World, "STOP"),
    Sender = spawn(fun() ->
        Data = noise(1000000),
        Sent = [begin Echo ! {hash, Watcher, N, Data}, N end || N <- lists:seq(1, 20)],
        Watcher ! {sent, length(Sent)}
    end),
    Told = receive {monitor, Sender, busy_dist_port, Carrier} -> busy_dist_port after ?PATIENCE -> not_told end,
    Suspended = dg_judge:outcome(fun() ->
        dg_judge:wait(fun() -> process_info(Sender, status) =:= {status, suspended} end) end),
    NoSuspend = {erlang:send(Echo, nothing, [nosuspend]), erlang:send_nosuspend(Echo, nothing),
                 erlang:send_nosuspend(Echo, nothing, [noconnect])},
    Queue = case Carrier of P when is_port(P) -> erlang:port_info(P, queue_size) > {queue_size, 0}; _ -> true end,
    erlang:system_monitor(Before),
    signal(World, "CONT"),
    Sent = receive {sent, Count} -> Count after 2 * ?PATIENCE -> still_suspended end,
    Hash = erlang:crc32(noise(1000000)),
    {Told, Suspended, NoSuspend, Queue, Sent,
     [receive {N, Hash} -> N after ?PATIENCE -> lost end || N <- lists:seq(1, 20)], nodes()}.

%% A sender that is killed while it is suspended, and the end of the connection while another is.
killed_while_it_waits(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Echo = spawn(Peer, ?MODULE, echo, []),
    signal(World, "STOP"),
    Send = fun() -> [Echo ! {nobody, noise(1000000)} || _ <- lists:seq(1, 30)] end,
    [{First, Killed}, {Second, Freed}] = [spawn_monitor(Send) || _ <- [1, 2]],
    dg_judge:wait(fun() -> lists:all(fun(P) -> process_info(P, status) =:= {status, suspended} end, [First, Second]) end),
    exit(First, kill),
    One = receive {'DOWN', Killed, process, First, Why} -> Why after ?PATIENCE -> timeout end,
    monitor_node(Peer, true),
    Outcome = dg_judge:timed(fun() -> erlang:disconnect_node(Peer), receive {nodedown, Peer} -> down after ?PATIENCE -> up end end),
    Answer = receive {'DOWN', Freed, process, Second, Reason} -> Reason after 300 -> waits_again end,
    exit(Second, kill),
    signal(World, "CONT"),
    dg_judge:connected(World),
    {One, Outcome, Answer}.

%% --- calls ---

erpc_calls(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    {erpc:call(Peer, erlang, node, []), erpc:call(Peer, fun() -> 1 + 1 end, 5000),
     byte_size(erpc:call(Peer, fun() -> noise(1000000) end)), erpc:cast(Peer, erlang, send, [self(), from_afar]), next()}.

erpc_failures(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    [dg_judge:outcome(Call) || Call <- [
        fun() -> erpc:call(Peer, erlang, throw, [ball]) end, fun() -> erpc:call(Peer, erlang, exit, [over]) end,
        fun() -> case catch erpc:call(Peer, erlang, error, [badarg]) of {'EXIT', {{exception, W, _}, _}} -> W end end,
        fun() -> erpc:call(Peer, timer, sleep, [10000], 100) end, fun() -> erpc:call('no@nowhere.lab', erlang, node, []) end,
        fun() -> erpc:call(not_a_node_name, erlang, node, []) end]].

erpc_requests(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Requests = [erpc:send_request(Peer, erlang, '*', [N, N]) || N <- [1, 2, 3]],
    Answers = [erpc:receive_response(Request, ?PATIENCE) || Request <- lists:reverse(Requests)],
    Slow = erpc:send_request(Peer, timer, sleep, [5000]),
    {Answers, erpc:wait_response(Slow, 50), dg_judge:outcome(fun() -> erpc:receive_response(Slow, 50) end)}.

rpc_calls(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Key = rpc:async_call(Peer, erlang, node, []),
    {rpc:call(Peer, erlang, node, []), rpc:call(Peer, erlang, throw, [ball]),
     element(1, rpc:call(Peer, erlang, error, [badarg])), rpc:call('no@nowhere.lab', erlang, node, []),
     rpc:call(Peer, timer, sleep, [5000], 50), rpc:yield(Key), rpc:block_call(Peer, erlang, node, []),
     rpc:cast(Peer, erlang, send, [self(), cast]), next(),
     rpc:pmap({erlang, '+'}, [1], [1, 2, 3]), rpc:pinfo(spawn(Peer, ?MODULE, waiting, []), status)}.

multicalls(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Nodes = [node(), Peer, 'no@nowhere.lab'],
    {rpc:multicall(Nodes, erlang, node, []), erpc:multicall(Nodes, erlang, node, []), rpc:abcast(Nodes, nobody, hello),
     rpc:sbcast(Nodes, rex, {nobody, hello}), rpc:eval_everywhere(Nodes, erlang, node, []),
     gen_server:multi_call(Nodes, rex, {call, erlang, node, [], group_leader()}, ?PATIENCE)}.

servers(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    {dg_judge:outcome(fun() -> gen_server:call({nobody, Peer}, hello) end),
     case dg_judge:outcome(fun() -> gen_server:call({kernel_sup, Peer}, count_children) end) of
         Counts when is_list(Counts) -> [Name || {Name, _} <- Counts]
     end,
     dg_judge:outcome(fun() -> gen_server:call({nobody, 'no@nowhere.lab'}, hello) end)}.

remote_code(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    {ok, judge_made, Code} = compile:forms([{attribute, 1, module, judge_made}, {attribute, 1, export, [{answer, 0}]},
        {function, 1, answer, 0, [{clause, 1, [], [], [{integer, 1, 42}]}]}]),
    {rpc:call(Peer, code, load_binary, [judge_made, "judge_made", Code]), rpc:call(Peer, judge_made, answer, []),
     rpc:call(Peer, code, purge, [judge_made]), rpc:call(Peer, code, delete, [judge_made])}.

%% --- ends of connections ---

%% What both nodes are told when Fun(World) ends the connection. They are told why, too.
told(#{peer := Peer} = World, Fun) ->
    dg_judge:connected(World),
    Self = self(),
    Options = [nodedown_reason, {node_type, all}],
    There = spawn(Peer, fun() ->
        ok = net_kernel:monitor_nodes(true, Options),
        Self ! {self(), ready},
        %% The connection is to be there again when this is told.
        Heard = [M || M <- [receive M -> M after ?PATIENCE -> timeout end]],
        timer:sleep(300),
        Self ! {self(), Heard}
    end),
    receive {There, ready} -> ok after ?PATIENCE -> exit(nobody_there) end,
    ok = net_kernel:monitor_nodes(true, Options),
    Value = Fun(World),
    Here = receive {nodedown, Peer, _} = Down -> Down after ?PATIENCE -> timeout end,
    ok = net_kernel:monitor_nodes(false, Options),
    dg_judge:connected(World),
    {Value, Here, receive {There, Heard} -> Heard after ?PATIENCE -> timeout end}.

disconnecting(World) ->
    told(World, fun(#{peer := Peer}) -> {erlang:disconnect_node(Peer), erlang:disconnect_node('no@one')} end).

disconnecting_there(World) ->
    Self = node(),
    told(World, fun(#{peer := Peer}) -> spawn(Peer, erlang, disconnect_node, [Self]), ok end).

carrier_closed(World) ->
    told(World, fun(W) -> case dg_judge:dist_port(W) of
                              Port when is_port(Port) -> dg_judge:outcome(fun() -> port_close(Port) end);
                              Pid -> exit(Pid, shutdown)
                          end end).

carrier_killed(World) ->
    told(World, fun(W) -> exit(dg_judge:dist_port(W), kill) end).

carrier_shut_down(World) ->
    told(World, fun(W) -> case dg_judge:dist_port(W) of
                              Port when is_port(Port) -> gen_tcp:shutdown(Port, write);
                              Pid -> exit(Pid, kill)
                          end end).

monitoring_a_node(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    [true = monitor_node(Peer, true) || _ <- [1, 2]],
    true = monitor_node(Peer, false),
    dg_judge:disconnected(World),
    First = [next(2000), next(200)],
    true = monitor_node('no@nowhere.lab', true),
    {First, next(), dg_judge:outcome(fun() -> monitor_node(not_a_name, true) end)}.

nodedown_while_calling(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Self = self(),
    Calls = [spawn(fun() -> Self ! {self(), dg_judge:outcome(Call)} end) || Call <- [
        fun() -> erpc:call(Peer, timer, sleep, [5000]) end, fun() -> rpc:call(Peer, timer, sleep, [5000]) end,
        fun() -> gen_server:call({rex, Peer}, {call, timer, sleep, [5000], group_leader()}, ?PATIENCE) end]],
    timer:sleep(200),
    dg_judge:disconnected(World),
    [receive {Call, Outcome} -> Outcome after ?PATIENCE -> timeout end || Call <- Calls].

reconnecting(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Pid = spawn(Peer, ?MODULE, echo, []),
    dg_judge:disconnected(World),
    %% A message alone brings the connection back.
    {ask(Pid, still_there), nodes()}.

%% Each of both connects to the other at the same moment.
at_the_same_time(#{peer := Peer} = World) ->
    Self = node(),
    lists:usort([begin
        dg_judge:connected(World),
        Moment = erlang:system_time(millisecond) + 30,
        There = erpc:send_request(Peer, fun() ->
            spawn(fun() -> timer:sleep(max(0, Moment - erlang:system_time(millisecond))), net_kernel:connect_node(Self) end), ok
        end),
        ok = erpc:receive_response(There, ?PATIENCE),
        erlang:disconnect_node(Peer),
        timer:sleep(max(0, Moment - erlang:system_time(millisecond))),
        Here = net_kernel:connect_node(Peer),
        dg_judge:connected(World),
        {Here, ask(spawn(Peer, ?MODULE, echo, []), through)}
     end || _ <- lists:seq(1, 15)]).

%% Many connections leave no port, no process and no name behind.
cycles(World) ->
    Count = fun() -> {length(erlang:ports()), length(processes()), length(ets:all())} end,
    dg_judge:connected(World),
    Before = Count(),
    [begin dg_judge:disconnected(World), dg_judge:connected(World) end || _ <- lists:seq(1, 30)],
    dg_judge:outcome(fun() -> dg_judge:wait(fun() ->
        {Ports, Processes, Tables} = Count(),
        Ports =< element(1, Before) andalso Processes =< element(2, Before) + 2 andalso Tables =< element(3, Before)
    end) end).

%% --- connecting ---

attempt(Node) -> dg_judge:timed(fun() -> {net_kernel:connect_node(Node), net_adm:ping(Node)} end).

nobody_of_that_name(#{peer := Peer}) ->
    [_, Host] = string:split(atom_to_list(Peer), "@"),
    [_, Own] = string:split(atom_to_list(node()), "@"),
    [attempt(list_to_atom("nobody@" ++ At)) || At <- [Host, Own]].

no_such_host(_) -> [attempt('n@no.such.host.lab'), attempt(nonsense), attempt('@'), attempt('a@b@c')].

%% A host that is there and runs nothing of Erlang.
nobody_at_that_host(#{silent := Silent}) -> attempt(list_to_atom("n@" ++ Silent)).

wrong_cookie(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    erlang:set_cookie(Peer, wrong),
    dg_judge:disconnected(World),
    Wrong = attempt(Peer),
    erlang:set_cookie(Peer, lab),
    timer:sleep(100),
    {Wrong, wait_connected(Peer), erpc:call(Peer, erlang, get_cookie, [])}.

wait_connected(Peer) -> dg_judge:outcome(fun() -> dg_judge:wait(fun() -> net_kernel:connect_node(Peer) =:= true end) end).

with_setting(Setting, World, Fun) ->
    dg_judge:connected(World),
    application:set_env(kernel, dist_auto_connect, Setting),
    dg_judge:there(World, fun() -> application:set_env(kernel, dist_auto_connect, never) end),
    try Fun()
    after
        application:unset_env(kernel, dist_auto_connect),
        dg_judge:connected(World),
        dg_judge:there(World, fun() -> application:unset_env(kernel, dist_auto_connect) end)
    end.

never_by_itself(#{peer := Peer} = World) ->
    with_setting(never, World, fun() ->
        dg_judge:disconnected(World),
        {nobody, Peer} ! lost,
        timer:sleep(100),
        {nodes(), net_adm:ping(Peer), rpc:call(Peer, erlang, node, []), net_kernel:connect_node(Peer), net_adm:ping(Peer)}
    end).

once_by_itself(#{peer := Peer} = World) ->
    with_setting(once, World, fun() ->
        dg_judge:disconnected(World),
        timer:sleep(100),
        {net_adm:ping(Peer), nodes(), net_kernel:connect_node(Peer), net_adm:ping(Peer)}
    end).

hidden_connection(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    application:set_env(kernel, dist_auto_connect, never),
    dg_judge:disconnected(World),
    application:unset_env(kernel, dist_auto_connect),
    Connected = dg_judge:outcome(fun() -> dg_judge:wait(fun() -> net_kernel:hidden_connect_node(Peer) =:= true end) end),
    %% Where the other node was faster it is a visible one.
    Kind = {lists:member(Peer, nodes(connected)), is_list(nodes(hidden))},
    dg_judge:disconnected(World),
    dg_judge:connected(World),
    {Connected, Kind}.

passive_connection(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    [dg_judge:outcome(fun() -> erlang:monitor_node(Peer, true, [allow_passive_connect]) end),
     dg_judge:outcome(fun() -> erlang:monitor_node(Peer, false, [allow_passive_connect]) end)].

sends_without_connection(_) ->
    There = {nobody, 'no@nowhere.lab'},
    [dg_judge:outcome(fun() -> erlang:send(There, lost, [noconnect]) end),
     dg_judge:outcome(fun() -> erlang:send_nosuspend(There, lost, [noconnect]) end),
     dg_judge:outcome(fun() -> There ! lost end)].

%% --- EPMD ---

names_of_epmd(#{there := There}) -> names(net_adm:names(There)).

names_of_own_epmd(_) -> [names(net_adm:names()), names(erl_epmd:names({127, 0, 0, 1}))].

names({ok, Names}) -> {ok, lists:sort([{Name, is_integer(Port)} || {Name, Port} <- Names])};
names(Other) -> Other.

ports_of_epmd(#{there := There}) ->
    [case dg_judge:outcome(fun() -> erl_epmd:port_please(Name, Address) end) of
         {port, Port, Version} -> {port, Port > 0, Version};
         Other -> Other
     end || {Name, Address} <- [{"n", There}, {"n", {127, 0, 0, 1}}, {"nobody", There}, {"nobody", "no.such.host.lab"}]].

addresses(#{peer := Peer}) ->
    [_, Host] = string:split(atom_to_list(Peer), "@"),
    [erl_epmd:address_please("n", Host, inet), erl_epmd:address_please("n", "no.such.host.lab", inet), net_adm:dns_hostname(silent),
     net_adm:dns_hostname("no.such.host.lab"), element(1, inet:gethostname())].

worlds(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    Hosts = [list_to_atom(lists:last(string:split(atom_to_list(Node), "@"))) || Node <- [node(), Peer]],
    [lists:member(Peer, net_adm:world_list(Hosts)), length([Host || Host <- Hosts, net_adm:world_list([Host]) =/= []])].

%% --- what is built on it ---

global_names(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    ok = global:sync(),
    Pid = spawn(Peer, ?MODULE, echo, []),
    First = global:register_name(judge, Pid),
    Second = global:register_name(judge, self()),
    There = erpc:call(Peer, global, whereis_name, [judge]) =:= Pid,
    global:send(judge, {self(), reference, hello}),
    Answer = next(),
    Names = {global:registered_names(), erpc:call(Peer, global, registered_names, [])},
    ok = global:re_register_name(judge, self()) =:= yes andalso ok,
    Mine = erpc:call(Peer, global, whereis_name, [judge]) =:= self(),
    global:unregister_name(judge),
    Gone = erpc:call(Peer, global, whereis_name, [judge]),
    yes = global:register_name(judge, Pid),
    Pid ! stop,
    {First, Second, There, Answer, Names, Mine, Gone,
     dg_judge:outcome(fun() -> dg_judge:wait(fun() -> global:whereis_name(judge) =:= undefined end) end),
     dg_judge:outcome(fun() -> global:send(judge, lost) end)}.

global_locks(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    ok = global:sync(),
    Id = {judge_lock, self()},
    true = global:set_lock(Id),
    Theirs = erpc:call(Peer, fun() -> global:set_lock({judge_lock, self()}, [node() | nodes()], 0) end),
    true = global:del_lock(Id),
    Then = erpc:call(Peer, fun() -> L = {judge_lock, self()}, T = global:set_lock(L, [node() | nodes()], 3), global:del_lock(L), T end),
    {Theirs, Then, global:trans({judge_trans, self()}, fun() -> done end), global:trans({judge_trans, self()}, fun() -> done end,
     [node(), Peer], 1)}.

%% Both nodes give a name while they do not see each other, and then meet.
global_conflicts(#{peer := Peer} = World) ->
    with_setting(never, World, fun() ->
        There = spawn(Peer, fun() -> timer:sleep(500), global:register_name(judge_twice, self()), waiting() end),
        Here = spawn(fun() -> process_flag(trap_exit, true), receive {exit, _} -> ok end end),
        dg_judge:disconnected(World),
        yes = global:register_name(judge_twice, Here, fun global:random_notify_name/3),
        timer:sleep(800),
        dg_judge:connected(World),
        Agreed = dg_judge:outcome(fun() -> dg_judge:wait(fun() ->
            Pid = global:whereis_name(judge_twice),
            lists:member(Pid, [Here, There]) andalso erpc:call(Peer, global, whereis_name, [judge_twice]) =:= Pid
        end) end),
        global:unregister_name(judge_twice),
        [exit(Pid, kill) || Pid <- [Here, There]],
        Agreed
    end).

groups(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    {ok, Scope} = pg:start(judge_scope),
    {ok, _} = erpc:call(Peer, pg, start, [judge_scope]),
    Pid = spawn(Peer, ?MODULE, waiting, []),
    Joined = erpc:call(Peer, pg, join, [judge_scope, group, Pid]),
    Mine = pg:join(judge_scope, group, self()),
    Seen = dg_judge:outcome(fun() -> dg_judge:wait(fun() ->
        lists:sort(pg:get_members(judge_scope, group)) =:= lists:sort([Pid, self()])
            andalso length(erpc:call(Peer, pg, get_members, [judge_scope, group])) =:= 2
    end) end),
    Pid ! stop,
    Left = dg_judge:outcome(fun() -> dg_judge:wait(fun() -> pg:get_members(judge_scope, group) =:= [self()] end) end),
    Local = {length(pg:get_local_members(judge_scope, group)), pg:which_groups(judge_scope)},
    gen_server:stop(Scope),
    {Joined, Mine, Seen, Left, Local}.

tick_time(#{peer := Peer} = World) ->
    dg_judge:connected(World),
    {net_kernel:get_net_ticktime(), net_kernel:set_net_ticktime(60), net_kernel:set_net_ticktime(60, 0),
     dg_judge:outcome(fun() -> net_kernel:set_net_ticktime(0) end), erpc:call(Peer, net_kernel, get_net_ticktime, [])}.

%% The tracer's port listens and accepts by itself, without the inet driver.
tracing_over_tcp(_) ->
    case code:which(dbg) of
        non_existing -> no_dbg;
        _ ->
            Port = 40000 + erlang:phash2(os:getpid(), 10000),
            {ok, _} = dbg:tracer(port, dbg:trace_port(ip, {Port, 50})),
            Self = self(),
            Client = dbg:trace_client(ip, {"127.0.0.1", Port}, {fun(Event, _) -> Self ! {traced, Event} end, none}),
            {ok, _} = dbg:p(self(), [call]),
            {ok, _} = dbg:tp(lists, seq, 2, []),
            timer:sleep(100),
            lists:seq(1, 3),
            Event = receive {traced, E} -> E after ?PATIENCE -> timeout end,
            catch dbg:stop_trace_client(Client),    % with inet_backend socket it has ended
            dbg:stop(),
            Event
    end.

%% The carrier is nobody's but the runtime's.
a_carrier_cannot_be_read(World) ->
    with_port(World, fun(Port) ->
        [dg_judge:outcome(Fun) || Fun <- [
            fun() -> gen_tcp:recv(Port, 0, 10) end,
            fun() -> gen_tcp:controlling_process(Port, self()) end,
            fun() -> inet:getfd(Port) =/= error end]]
    end).

statistics_of_ports(World) ->
    dg_judge:connected(World),
    {lists:sort([Name || Port <- erlang:ports(), {name, Name} <- [erlang:port_info(Port, name)]]),
     [element(1, Item) || Item <- lists:flatten([erlang:system_info(check_io)]), is_tuple(Item)]}.

%% --- nodes that are started by this one ---

%% What the matrix adds to every node holds for these, too.
quiet() -> string:lexemes(os:getenv("DISTGUARD_LAB_ERL_ARGS", ""), " ") ++ ["-setcookie", "lab", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none", "-pa" | code_paths()].

code_paths() -> [filename:dirname(code:which(?MODULE))].

own_host() ->
    [_, Host] = string:split(atom_to_list(node()), "@"),
    Host.

nodes_started_by_peer(_) ->
    case code:ensure_loaded(peer) of
        {module, peer} -> [{How, dg_judge:outcome(fun() -> started_by_peer(How, Options) end)} || {How, Options} <- [
            {distribution, #{}}, {standard_io, #{connection => standard_io}}, {tcp, #{connection => 0}}]];
        _ -> no_peer
    end.

started_by_peer(How, Options) ->
    Name = list_to_atom("p" ++ atom_to_list(How)),
    {ok, Peer, Node} = peer:start(Options#{name => Name, host => own_host(), longnames => true, args => quiet(), wait_boot => 30000}),
    monitor_node(Node, true),
    Call = case How of distribution -> erpc:call(Node, erlang, node, []); _ -> peer:call(Peer, erlang, node, []) end,
    Ping = net_adm:ping(Node),
    Large = case How of distribution -> erpc:call(Node, ?MODULE, module_info, [module]);
                        _ -> byte_size(peer:call(Peer, binary, copy, [<<"x">>, 500000])) end,
    Stopped = peer:stop(Peer),
    {Node, Call, Ping, Large, Stopped, receive {nodedown, Node} -> down after ?PATIENCE -> up end}.

nodes_started_by_slave(_) ->
    case code:ensure_loaded(slave) of
        {module, slave} ->
            %% It knows no host by an IPv6 address.
            dg_judge:outcome(fun() -> started_by_slave(lists:flatten(lists:join(" ", quiet()))) end);
        _ -> no_slave
    end.

started_by_slave(Arguments) ->
    {ok, Node} = slave:start(own_host(), judge_slave, Arguments),
    Answer = rpc:call(Node, erlang, node, []),
    monitor_node(Node, true),
    ok = slave:stop(Node),
    {Node, Answer, receive {nodedown, Node} -> down after ?PATIENCE -> up end}.
