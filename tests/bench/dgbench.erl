%% What runs inside the measured nodes.
%%
%% The controller writes one command, an Erlang term, on a line of standard input and reads one line of answer,
%% so that it never needs distribution itself:
%%
%%     {round_trip, 'b@localhost', 5000}.
%%     dgbench: ok 41.2 63.0
%%
%% Anything else on standard output is not an answer. The node halts when its standard input ends.
-module(dgbench).

-export([start/0]).
%% Run on the peer.
-export([echo/0, serve_calls/0, count/2]).

-define(PREFIX, "dgbench: ").
%% How long a command waits for its peer before it calls the connection stuck.
-define(PATIENCE, 60000).

start() ->
    spawn(fun() ->
        answer(["ready ", os:getpid()]),
        serve()
    end).

serve() ->
    case io:get_line(user, "") of
        Line when is_list(Line) ->
            serve(Line);
        _End ->
            erlang:halt(0)
    end.

serve(Line) ->
    try
        {ok, Tokens, _} = erl_scan:string(Line),
        {ok, Command} = erl_parse:parse_term(Tokens),
        command(Command)
    of
        Numbers -> answer(["ok" | [io_lib:format(" ~w", [Number]) || Number <- Numbers]])
    catch
        Class:Reason -> answer(io_lib:format("error ~0tp", [{Class, Reason, Line}]))
    end,
    serve().

answer(Text) ->
    io:put_chars(user, [?PREFIX, Text, $\n]).

%% Microseconds from the look-up of the name to the first answer from the peer.
command({connect, Peer}) ->
    Begin = erlang:monotonic_time(),
    true = net_kernel:connect_node(Peer),
    Peer = erpc:call(Peer, erlang, node, [], ?PATIENCE),
    [microseconds(erlang:monotonic_time() - Begin)];
%% Whether a connection can be made: 1 or 0.
command({reachable, Peer}) ->
    case net_kernel:connect_node(Peer) of
        true -> [1];
        false -> [0]
    end;
command({disconnect, Peer}) ->
    erlang:disconnect_node(Peer),
    await_down(Peer);
command({await_down, Peer}) ->
    await_down(Peer);
%% Sends a text that a capture can look for, and waits until it has come back.
command({mark, Peer, Text}) ->
    Echo = spawn_link(Peer, ?MODULE, echo, []),
    _ = trip(Echo, Text),
    stop(Echo),
    [];
%% One trip after the other.
command({round_trip, Peer, Trips}) ->
    Echo = spawn_link(Peer, ?MODULE, echo, []),
    Times = times(fun(N) -> trip(Echo, N) end, Trips),
    stop(Echo),
    Times;
%% The same of a gen_server:call: a monitor and a request, an answer and the monitor's end.
command({calls, Peer, Calls}) ->
    Server = spawn_link(Peer, ?MODULE, serve_calls, []),
    Times = times(fun(N) -> called(Server, N) end, Calls),
    stop(Server),
    Times;
%% Messages sent in about that many milliseconds, and the microseconds until the peer had received them all.
command({throughput, Peer, Size, Milliseconds}) ->
    Counter = spawn_link(Peer, ?MODULE, count, [self(), 0]),
    Payload = payload(Size),
    Begin = erlang:monotonic_time(),
    Sent = flood([Counter], Payload, batch(Size), deadline(Begin, Milliseconds)),
    End = erlang:monotonic_time(),
    stop(Counter),
    [Sent, microseconds(End - Begin)];
%% The same by many processes at once, each to one of its own on the peer.
command({senders, Peer, Senders, Size, Milliseconds}) ->
    Payload = payload(Size),
    Batch = max(1, batch(Size) div Senders),
    Parent = self(),
    Monitored = [
        spawn_monitor(fun() -> exit({sent, send_when_told(Parent, Peer, Payload, Batch)}) end)
     || _ <- lists:seq(1, Senders)
    ],
    [receive {Pid, ready} -> ok after ?PATIENCE -> error(not_ready) end || {Pid, _} <- Monitored],
    Begin = erlang:monotonic_time(),
    [Pid ! {send_until, deadline(Begin, Milliseconds)} || {Pid, _} <- Monitored],
    Sent = [
        receive
            {'DOWN', Monitor, process, Pid, {sent, N}} -> N;
            {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
        end
     || {Pid, Monitor} <- Monitored
    ],
    [lists:sum(Sent), microseconds(erlang:monotonic_time() - Begin)];
%% How many attempts failed before all were connected.
command({connect_all, Peers}) ->
    Deadline = deadline(erlang:monotonic_time(), ?PATIENCE),
    [lists:sum([failed_attempts(Peer, Deadline) || Peer <- Peers])];
%% A process on each of the peers, for send_to_all.
command({meet, Peers}) ->
    put(counters, [spawn_link(Peer, ?MODULE, count, [self(), 0]) || Peer <- Peers]),
    [];
%% To each in turn; how many messages all of them have received.
command({send_to_all, Size, Milliseconds}) ->
    Deadline = deadline(erlang:monotonic_time(), Milliseconds),
    [flood(get(counters), payload(Size), 1, Deadline)];
%% An echo server and its client in this VM, over sockets that are none of distribution's: the median time of one echo
%% and the time of all, in microseconds.
command({gen_tcp_echo, Trips, Size}) ->
    Address = {127, 0, 0, 1},
    Options = [binary, {active, false}, {nodelay, true}],
    {ok, Listener} = gen_tcp:listen(0, [{ip, Address} | Options]),
    {ok, Port} = inet:port(Listener),
    Server = spawn_link(fun() ->
        {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
        echo_bytes(Accepted)
    end),
    {ok, Socket} = gen_tcp:connect(Address, Port, Options, ?PATIENCE),
    Payload = payload(Size),
    _ = [echo_trip(Socket, Payload) || _ <- lists:seq(1, Trips div 5)],
    Begin = erlang:monotonic_time(),
    Times = lists:sort([echo_trip(Socket, Payload) || _ <- lists:seq(1, Trips)]),
    End = erlang:monotonic_time(),
    ok = gen_tcp:close(Socket),
    stop(Server),
    ok = gen_tcp:close(Listener),
    [microseconds(lists:nth((Trips + 1) div 2, Times)), microseconds(End - Begin)].

failed_attempts(Peer, Deadline) ->
    case net_kernel:connect_node(Peer) of
        true ->
            0;
        false ->
            erlang:monotonic_time() < Deadline orelse error({cannot_connect, Peer}),
            1 + failed_attempts(Peer, Deadline)
    end.

payload(Size) ->
    binary:copy(<<"x">>, Size).

%% Messages between two looks at the clock, which is read once for every 64 KiB, not for every small message.
batch(Size) ->
    max(1, 65536 div Size).

deadline(Begin, Milliseconds) ->
    Begin + erlang:convert_time_unit(Milliseconds, millisecond, native).

microseconds(Native) ->
    erlang:convert_time_unit(Native, native, nanosecond) / 1000.

%% Median and 99th percentile of the time of one, in microseconds.
times(One, Count) ->
    _ = [One(N) || N <- lists:seq(1, Count div 5)],
    Times = lists:sort([One(N) || N <- lists:seq(1, Count)]),
    [microseconds(lists:nth(max(1, Count * Percent div 100), Times)) || Percent <- [50, 99]].

called(Server, Term) ->
    Begin = erlang:monotonic_time(),
    Term = gen_server:call(Server, Term, ?PATIENCE),
    erlang:monotonic_time() - Begin.

serve_calls() ->
    receive
        {'$gen_call', From, Term} -> gen_server:reply(From, Term)
    end,
    serve_calls().

trip(Echo, Term) ->
    Begin = erlang:monotonic_time(),
    Echo ! {self(), Term},
    receive
        {Echo, Term} -> erlang:monotonic_time() - Begin
    after ?PATIENCE -> error(no_echo)
    end.

echo() ->
    receive
        {From, Term} -> From ! {self(), Term}
    end,
    echo().

%% Sends to all counters in turn, and waits until they have received everything; how many messages that were.
flood(Counters, Payload, Batch, Deadline) ->
    Sent = blast(Counters, Payload, Batch, Deadline, 0),
    [Counter ! how_many || Counter <- Counters],
    [
        receive
            {Counter, Sent} -> ok;
            {Counter, Received} -> error({received, Received, of_sent, Sent})
        after ?PATIENCE -> error(no_acknowledgement)
        end
     || Counter <- Counters
    ],
    Sent * length(Counters).

%% How many messages each of the counters was sent: at least one batch, however late it is.
blast(Counters, Payload, Batch, Deadline, Sent) ->
    send(Counters, Payload, Batch),
    case erlang:monotonic_time() < Deadline of
        true -> blast(Counters, Payload, Batch, Deadline, Sent + Batch);
        false -> Sent + Batch
    end.

send(_Counters, _Payload, 0) ->
    ok;
send(Counters, Payload, N) ->
    send_each(Counters, Payload),
    send(Counters, Payload, N - 1).

send_each([Counter | Counters], Payload) ->
    Counter ! Payload,
    send_each(Counters, Payload);
send_each([], _Payload) ->
    ok.

send_when_told(Parent, Peer, Payload, Batch) ->
    Counter = spawn_link(Peer, ?MODULE, count, [self(), 0]),
    Parent ! {self(), ready},
    receive
        {send_until, Deadline} ->
            Sent = flood([Counter], Payload, Batch, Deadline),
            stop(Counter),
            Sent
    end.

%% Tells how many it has received since it was last asked.
count(Sender, Received) ->
    receive
        Payload when is_binary(Payload) ->
            count(Sender, Received + 1);
        how_many ->
            Sender ! {self(), Received},
            count(Sender, 0)
    end.

echo_trip(Socket, Payload) ->
    Begin = erlang:monotonic_time(),
    ok = gen_tcp:send(Socket, Payload),
    {ok, Payload} = gen_tcp:recv(Socket, byte_size(Payload), ?PATIENCE),
    erlang:monotonic_time() - Begin.

echo_bytes(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Bytes} ->
            ok = gen_tcp:send(Socket, Bytes),
            echo_bytes(Socket);
        {error, closed} ->
            ok
    end.

stop(Process) ->
    unlink(Process),
    exit(Process, kill).

%% Both ends must have seen the connection go before the next one is made, else the two cross.
await_down(Peer) ->
    ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
    case lists:member(Peer, nodes(connected)) of
        true ->
            receive
                {nodedown, Peer, _} -> ok
            after ?PATIENCE -> error(still_connected)
            end;
        false ->
            ok
    end,
    ok = net_kernel:monitor_nodes(false, [{node_type, all}]),
    forget_node_events(),
    [].

forget_node_events() ->
    receive
        {nodedown, _, _} -> forget_node_events();
        {nodeup, _, _} -> forget_node_events()
    after 0 -> ok
    end.
