%% Floods of small messages, whose receiver knows each: none is lost, none comes out of turn.
-module(dg_lab_gathering).
-export([flood/3, ledger/3, keep/1, kept/1, send_to_keeper/3, hand_to_keeper/2, pending/1, small/2, sink/0, round_trips/4, echo/0,
         spin/0, spin_no_more/0]).

-define(PATIENCE, 60000).
-define(LARGE, 100000).

%% --- many senders ---

%% So many at once, each with so many messages of 1 byte to 100 KB, all to one process on the node. `in_order`, or what
%% that has missed.
flood(Node, Senders, Count) ->
    Ledger = spawn_link(Node, ?MODULE, ledger, [self(), Senders, #{}]),
    [spawn_link(fun() -> send(Ledger, 1, Count) end) || _ <- lists:seq(1, Senders)],
    receive {Ledger, Answer} -> Answer after ?PATIENCE -> timeout end.

send(Ledger, Number, Count) when Number > Count ->
    Ledger ! {self(), Number, last};
send(Ledger, Number, Count) ->
    Ledger ! {self(), Number, payload(Number)},
    send(Ledger, Number + 1, Count).

payload(Number) ->
    binary:copy(<<Number>>, size_of(Number, erlang:phash2(Number, 400))).

%% Small ones; between them such as are about as large as what is held and as a record, and now and then a large one.
size_of(_, 0) -> ?LARGE;
size_of(Number, Luck) when Luck < 3 -> 16300 + Number rem 200;
size_of(Number, Luck) when Luck < 13 -> 4000 + Number rem 200;
size_of(Number, Luck) when Luck < 50 -> 1000 + Number rem 500;
size_of(Number, _) -> 1 + Number rem 100.

%% Seen: the last number of each sender.
ledger(Asker, 0, _) ->
    Asker ! {self(), in_order};
ledger(Asker, Senders, Seen) ->
    receive
        {Sender, Number, Payload} ->
            case {maps:get(Sender, Seen, 0) + 1, Payload =:= last orelse Payload =:= payload(Number)} of
                {Number, true} when Payload =:= last -> ledger(Asker, Senders - 1, Seen);
                {Number, true} -> ledger(Asker, Senders, Seen#{Sender => Number});
                Wanted -> Asker ! {self(), {wanted, Wanted, got, Number}}
            end
    end.

%% --- a sender that may come to its end ---

%% Starts who keeps account of what a node sends to it, under that node's name, in place of an earlier one.
keep(Node) ->
    Self = self(),
    whereis(Node) =/= undefined andalso unregister(Node),
    Keeper = spawn(fun() -> monitor_node(Node, true), Self ! {self(), ready}, keep(0, [], up) end),
    receive {Keeper, ready} -> register(Node, Keeper) end.

%% Gaps: {expected, came}.
keep(Last, Gaps, State) ->
    receive
        {number, Number} when Number =:= Last + 1 -> keep(Number, Gaps, State);
        {number, Number} -> keep(Number, [{Last + 1, Number} | Gaps], State);
        {nodedown, _} -> keep(Last, Gaps, down);
        {kept, From} -> From ! {self(), {Last, Gaps, State}}, keep(Last, Gaps, State)
    end.

kept(Node) ->
    Keeper = whereis(Node),
    Keeper ! {kept, self()},
    receive {Keeper, Answer} -> Answer after ?PATIENCE -> timeout end.

%% From the first of these numbers to the last.
send_to_keeper(Node, First, Last) ->
    [{node(), Node} ! {number, Number} || Number <- lists:seq(First, Last)],
    ok.

%% The same, and waits until the VM has given all of it to what it takes for the kernel.
hand_to_keeper(Node, Count) ->
    Before = writes_to(Node),
    send_to_keeper(Node, 1, Count),
    handed(Node, Before + Count).

handed(Node, Count) ->
    case writes_to(Node) of
        Writes when Writes >= Count -> ok;
        _ -> handed(Node, Count)
    end.

%% Messages as the port counts them.
writes_to(Node) -> statistic(Node, send_cnt).

%% Bytes that wait in the VM.
pending(Node) -> statistic(Node, send_pend).

statistic(Node, Kind) ->
    {Node, Port} = lists:keyfind(Node, 1, erlang:system_info(dist_ctrl)),
    {ok, [{Kind, Value}]} = inet:getstat(Port, [Kind]),
    Value.

%% --- one sender ---

%% So many messages with 64 bytes each; `ok` when all have arrived.
small(Node, Count) ->
    Sink = spawn_link(Node, ?MODULE, sink, []),
    Data = binary:copy(<<"x">>, 64),
    [Sink ! {data, Data} || _ <- lists:seq(1, Count)],
    Sink ! {last, self()},
    receive Sink -> ok after ?PATIENCE -> timeout end.

sink() ->
    receive
        {data, _} -> sink();
        {last, From} -> From ! self()
    end.

%% So many times: so many messages at once, the last of which is answered, and a pause of some milliseconds. How long the
%% answers took, in microseconds: the median.
round_trips(Node, Times, Burst, Pause) ->
    Echo = spawn_link(Node, ?MODULE, echo, []),
    round_trip(Echo, 1),
    Taken = [begin timer:sleep(Pause), round_trip(Echo, Burst) end || _ <- lists:seq(1, Times)],
    lists:nth(Times div 2 + 1, lists:sort(Taken)).

round_trip(Echo, Burst) ->
    Begin = erlang:monotonic_time(microsecond),
    [Echo ! {one, N} || N <- lists:seq(2, Burst)],
    Echo ! {answer, self()},
    receive Echo -> erlang:monotonic_time(microsecond) - Begin after ?PATIENCE -> exit(no_answer) end.

echo() ->
    receive
        {one, _} -> ok;
        {answer, From} -> From ! self()
    end,
    echo().

%% --- a node that computes ---

%% Keeps every scheduler busy.
spin() ->
    Schedulers = lists:seq(1, erlang:system_info(schedulers_online)),
    register(spinning, spawn(fun() ->
        [spawn_opt(fun Spin() -> Spin() end, [link, {scheduler, Number}]) || Number <- Schedulers],
        receive stop -> exit(stopped) end
    end)),
    ok.

spin_no_more() ->
    Monitor = monitor(process, spinning),
    spinning ! stop,
    receive {'DOWN', Monitor, process, _, _} -> ok end.
