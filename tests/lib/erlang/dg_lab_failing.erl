%% Numbered messages to another node, all the while, over connections that come and go. Within one connection none may be
%% missing, changed or out of order; and numbers only grow.
-module(dg_lab_failing).
-export([start/2, report/0, pace/1]).

-define(LARGE_EVERY, 40).
-define(LARGE, 150000).            % bytes

%% To `Node`, with `Marker` in each message.
start(Node, Marker) ->
    Ready = self(),
    register(?MODULE, spawn(fun() ->
        ok = net_kernel:monitor_nodes(true),
        Ready ! ready,
        receive_all(#{next => any, last => 0, count => 0, downs => 0, wrong => []})
    end)),
    receive ready -> ok end,
    register(dg_lab_failing_sender, spawn(fun() -> send_all(Node, Marker, 1, undefined) end)),
    ok.

%% {how many messages came, how often a connection ended, what was wrong}
report() ->
    ?MODULE ! {report, self()},
    receive {?MODULE, Report} -> Report end.

%% Every so many messages the sender ends the connection; `undefined`: never.
pace(Messages) ->
    dg_lab_failing_sender ! {pace, Messages},
    ok.

send_all(Node, Marker, Number, Pace) ->
    is_integer(Pace) andalso Number rem Pace =:= 0 andalso erlang:disconnect_node(Node),
    {?MODULE, Node} ! {number, Number, payload(Marker, Number)},
    receive
        {pace, Messages} -> send_all(Node, Marker, Number + 1, Messages)
    after 3 ->
        send_all(Node, Marker, Number + 1, Pace)
    end.

payload(Marker, Number) when Number rem ?LARGE_EVERY =:= 0 ->
    {Marker, binary:copy(<<Number:32>>, ?LARGE div 4)};
payload(Marker, Number) ->
    {Marker, Number}.

receive_all(State = #{next := Next, last := Last, count := Count, downs := Downs, wrong := Wrong}) ->
    receive
        {number, Number, {Marker, _} = Payload} ->
            Right = Number > Last andalso (Next =:= any orelse Next =:= Number) andalso Payload =:= payload(Marker, Number),
            receive_all(State#{next := Number + 1, last := Number, count := Count + 1,
                wrong := [{came, Number, wanted, Next, last, Last} || not Right] ++ Wrong});
        {nodeup, _} ->
            receive_all(State#{next := any});
        {nodedown, _} ->
            receive_all(State#{downs := Downs + 1, next := any});
        {report, From} ->
            From ! {?MODULE, {Count, Downs, lists:sublist(Wrong, 5)}},
            receive_all(State)
    end.
