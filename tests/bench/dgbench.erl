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
-export([echo/0, count/2]).

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
%% Median and 99th percentile of the time of one trip, in microseconds.
command({round_trip, Peer, Trips}) ->
    Echo = spawn_link(Peer, ?MODULE, echo, []),
    _ = [trip(Echo, N) || N <- lists:seq(1, Trips div 5)],
    Times = lists:sort([trip(Echo, N) || N <- lists:seq(1, Trips)]),
    stop(Echo),
    [microseconds(lists:nth(max(1, Trips * Percent div 100), Times)) || Percent <- [50, 99]];
%% Messages sent in about that many milliseconds, and the microseconds until the peer had received them all.
command({throughput, Peer, Size, Milliseconds}) ->
    Counter = spawn_link(Peer, ?MODULE, count, [self(), 0]),
    Payload = binary:copy(<<"x">>, Size),
    %% The clock is read once for every 64 KiB, not for every small message.
    Batch = max(1, 65536 div Size),
    Begin = erlang:monotonic_time(),
    Deadline = Begin + erlang:convert_time_unit(Milliseconds, millisecond, native),
    Sent = blast(Counter, Payload, Batch, Deadline, 0),
    Counter ! how_many,
    receive
        {Counter, Sent} -> ok;
        {Counter, Received} -> error({received, Received, of_sent, Sent})
    after ?PATIENCE -> error(no_acknowledgement)
    end,
    End = erlang:monotonic_time(),
    stop(Counter),
    [Sent, microseconds(End - Begin)].

microseconds(Native) ->
    erlang:convert_time_unit(Native, native, nanosecond) / 1000.

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

blast(Counter, Payload, Batch, Deadline, Sent) ->
    case erlang:monotonic_time() < Deadline of
        true ->
            send(Counter, Payload, Batch),
            blast(Counter, Payload, Batch, Deadline, Sent + Batch);
        false ->
            Sent
    end.

send(_Counter, _Payload, 0) ->
    ok;
send(Counter, Payload, N) ->
    Counter ! Payload,
    send(Counter, Payload, N - 1).

count(Sender, Received) ->
    receive
        Payload when is_binary(Payload) ->
            count(Sender, Received + 1);
        how_many ->
            Sender ! {self(), Received},
            count(Sender, Received)
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
