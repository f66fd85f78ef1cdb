%% Mixed traffic between the nodes of a cluster that is disturbed all the while, and an exact account of it (README.md here
%% says what counts as lost).
%%
%% A stream is a sender, a receiver spawned for it on the other node, and the one connection that both began on. It ends
%% with that connection, and a new one is opened on the next. A connection is known by its port: no two have the same.
-module(soak).
-behaviour(gen_server).
-export([start/3, report/0, findings/0, calm/1, finish/0]).
-export([receiver/4, settled/1, leave/1, witness/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(FIGURES, [sent, received, bytes, cut_off, unknown, lost, disorder, damaged, stuck, streams, open,
    requests, answered, broken_requests, companions, broken_companions, wrong_companions,
    names, wrong_names, connects, breaks, unexplained, slowest_ms]).
-define(BASE, (1 bsl 21)).          % bytes of noise that payloads are cut from
-define(ACK_PAUSE, 50).             % milliseconds: no message waits longer for its acknowledgement
-define(RETRY, 100).
-define(STUCK, 60000).              % milliseconds without an acknowledgement, on a connection that stands
-define(PATIENCE, 30000).
-define(CALL_PATIENCE, 45000).
-define(FINDINGS, 50).

%% --- what the controller asks for ---

%% Begins to work with the peers, whose nodes run. Streams are {Kind, Bytes, PerSecond, Window}: so many messages of that size
%% a second (0: as fast as may be), no more than Window of them without an acknowledgement. Of requests and companions so many
%% come a second to each peer.
start(Peers, Streams, {Requests, Companions}) ->
    persistent_term:put({?MODULE, figures}, counters:new(length(?FIGURES), [])),
    persistent_term:put({?MODULE, base}, noise(?BASE)),
    calm(0),
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, Peers, []),
    Senders = [spawn(fun() -> stream(Peer, Stream) end) || Peer <- Peers, Stream <- Streams],
    persistent_term:put({?MODULE, senders}, Senders),
    [begin
        spawn(fun() -> keep_connected(Peer) end),
        spawn(fun() -> request(Peer, pause(Requests), 1) end),
        spawn(fun() -> process_flag(trap_exit, true), companion(Peer, pause(Companions), 1) end)
    end || Peer <- Peers],
    spawn(fun() -> name(Peers, 1) end),
    ok.

pause(PerSecond) -> 1000 div PerSecond.

report() ->
    Figures = persistent_term:get({?MODULE, figures}),
    [{findings, ets:info(soak_findings, size)}, {erlang_memory, erlang:memory(total)},
     {processes, erlang:system_info(process_count)}, {ports, erlang:system_info(port_count)} |
     lists:zipwith(fun(Name, At) -> {Name, counters:get(Figures, At)} end, ?FIGURES, lists:seq(1, length(?FIGURES)))].

findings() -> [Finding || {_, Finding} <- ets:tab2list(soak_findings)].

%% A number other than 0 while nothing is done to the cluster that could end a connection; another one each time.
calm(Number) -> persistent_term:put({?MODULE, calm}, Number).

%% Ends all streams, each with everything that was sent acknowledged. `finished` or how many are not.
finish() ->
    Senders = persistent_term:get({?MODULE, senders}),
    Monitors = [begin Ref = monitor(process, Sender), Sender ! finish, Ref end || Sender <- Senders],
    case [Ref || Ref <- Monitors, receive {'DOWN', Ref, process, _, normal} -> false after ?PATIENCE -> true end] of
        [] -> finished;
        Left -> {unfinished, length(Left)}
    end.

%% --- figures ---

add(Name, Value) -> counters:add(persistent_term:get({?MODULE, figures}), index(Name, ?FIGURES, 1), Value).
add(Name) -> add(Name, 1).

index(Name, [Name | _], At) -> At;
index(Name, [_ | Rest], At) -> index(Name, Rest, At + 1).

slowest(Milliseconds) ->
    Figures = persistent_term:get({?MODULE, figures}),
    At = index(slowest_ms, ?FIGURES, 1),
    Milliseconds > counters:get(Figures, At) andalso counters:put(Figures, At, Milliseconds).

%% What went wrong is counted, and told with its circumstances, the first of them.
found(Name, Count, What) ->
    add(Name, Count),
    case ets:info(soak_findings, size) of
        Size when Size < ?FINDINGS ->
            Finding = {erlang:system_time(millisecond), Name, Count, What},
            ets:insert(soak_findings, {erlang:unique_integer([monotonic]), Finding});
        _ -> ok
    end.

now_ms() -> erlang:monotonic_time(millisecond).

%% --- connections ---

connection(Node) -> proplists:get_value(Node, erlang:system_info(dist_ctrl)).

keep_connected(Peer) ->
    lists:member(Peer, nodes()) orelse net_kernel:connect_node(Peer),
    timer:sleep(?RETRY),
    keep_connected(Peer).

%% --- payloads ---

%% The same on all nodes; no two places of it are alike.
noise(Size) -> element(1, rand:bytes_s(Size, rand:seed_s(exsss, {1, 2, 3}))).

payload(Number, Size) ->
    binary:part(persistent_term:get({?MODULE, base}), erlang:phash2(Number, ?BASE - Size), Size).

%% --- streams, sending ---

-record(stream, {peer, kind, size, rate, window, id, to, ref, connection, began, sent = 0, acked = 0, progress}).

stream(Peer, {Kind, Size, Rate, Window} = Stream) ->
    add(streams),
    stream_again(#stream{peer = Peer, kind = Kind, size = Size, rate = Rate, window = Window}, Stream).

stream_again(Stream, Plan) ->
    case open(Stream) of
        {opened, Opened} ->
            add(open),
            Ended = pour(Opened),
            add(open, -1),
            case Ended of
                finished -> ok;
                {broken, At} -> settle(At), stream_again(Stream, Plan)
            end;
        finished -> ok;
        not_now ->
            receive finish -> ok after ?RETRY -> stream_again(Stream, Plan) end
    end.

open(#stream{peer = Peer, kind = Kind, size = Size} = Stream) ->
    case connection(Peer) of
        undefined -> not_now;
        Connection ->
            Id = {node(), self(), Kind, erlang:unique_integer()},
            {To, Ref} = spawn_monitor(Peer, ?MODULE, receiver, [self(), Id, Size, Kind]),
            receive
                {To, ready} ->
                    case connection(Peer) of
                        Connection ->
                            Now = now_ms(),
                            {opened, Stream#stream{id = Id, to = To, ref = Ref, connection = Connection, began = Now,
                                progress = Now}};
                        _ -> forget(To, Ref)
                    end;
                {'DOWN', Ref, process, To, _} -> not_now;
                finish -> forget(To, Ref), finished
            after ?PATIENCE -> forget(To, Ref)
            end
    end.

forget(To, Ref) ->
    demonitor(Ref, [flush]),
    exit(To, kill),
    not_now.

%% Sends what is due, and looks at what has come in between.
pour(#stream{sent = Sent, acked = Acked, window = Window} = Stream) ->
    {Due, Paced} = due(Stream),
    case send(Paced, min(Due, Window - (Sent - Acked))) of
        {ok, Next} when Next#stream.sent > Sent -> hear(Next, 0);
        {ok, Next} -> hear(Next, 5);
        {busy, Next} -> hear(Next, 5);
        {broken, _} = Broken -> Broken
    end.

%% A second that was missed is not made up for.
due(#stream{rate = 0} = Stream) -> {50, Stream};
due(#stream{rate = Rate, began = Began, sent = Sent} = Stream) ->
    Now = now_ms(),
    case (Now - Began) * Rate div 1000 - Sent of
        Behind when Behind > Rate -> {Rate, Stream#stream{began = Now - (Sent + Rate) * 1000 div Rate}};
        Due -> {min(Due, 100), Stream}
    end.

send(Stream, Count) when Count =< 0 -> {ok, Stream};
send(#stream{to = To, sent = Sent, acked = Acked, size = Size} = Stream, Count) ->
    Number = Sent + 1,
    case erlang:send(To, {Number, payload(Number, Size)}, [noconnect, nosuspend]) of
        ok ->
            add(sent),
            Progress = if Acked =:= Sent -> now_ms(); true -> Stream#stream.progress end,
            send(Stream#stream{sent = Number, progress = Progress}, Count - 1);
        nosuspend -> {busy, Stream};
        noconnect -> {broken, Stream}
    end.

hear(#stream{to = To, ref = Ref} = Stream, Pause) ->
    receive
        {To, acked, Number} -> hear(Stream#stream{acked = Number, progress = now_ms()}, 0);
        {To, gap, Expected, Came} -> gap(Stream, Expected, Came);
        {'DOWN', Ref, process, To, noconnection} -> {broken, Stream};
        {'DOWN', Ref, process, To, Reason} ->
            found(wrong_companions, 1, {receiver_ended, Stream#stream.id, Reason}),
            {broken, Stream};
        finish -> last(Stream)
    after Pause ->
        case stands_still(Stream) of
            true ->
                found(stuck, 1, {Stream#stream.id, {sent, Stream#stream.sent}, {acked, Stream#stream.acked}}),
                found(lost, Stream#stream.sent - Stream#stream.acked, {never_acknowledged, Stream#stream.id}),
                forget(To, Ref),
                {broken, Stream#stream{id = none}};
            false -> pour(Stream)
        end
    end.

stands_still(#stream{sent = Same, acked = Same}) -> false;
stands_still(#stream{progress = Progress} = Stream) -> now_ms() - Progress > ?STUCK andalso is_same(Stream).

is_same(#stream{peer = Peer, connection = Connection}) -> connection(Peer) =:= Connection.

%% The receiver has seen a number that was not the next, on what it believes is the connection that it began on. What was
%% sent on this connection has to arrive in order; but what leaves after the end of a connection, before we have been told
%% of it, goes over the next one.
gap(#stream{id = Id} = Stream, Expected, Came) ->
    case is_same(Stream) of
        true when Came > Expected -> found(lost, Came - Expected, {gap, Id, Expected, Came});
        true -> found(disorder, 1, {Id, Expected, Came});
        false -> ok
    end,
    {broken, Stream}.

last(#stream{to = To, ref = Ref, sent = Sent} = Stream) ->
    To ! {last, Sent},
    receive
        {To, all, Sent} -> demonitor(Ref, [flush]), finished;
        {To, gap, Expected, Came} -> gap(Stream, Expected, Came), finished;
        {'DOWN', Ref, process, To, _} -> settle(Stream), finished
    after ?PATIENCE ->
        found(lost, Sent - Stream#stream.acked, {at_the_end, Stream#stream.id, Sent}),
        finished
    end.

%% How far a stream came whose connection ended, as its receiver remembers: no less than it has acknowledged, no more than
%% was sent. A receiver's node that has been started anew remembers nothing.
settle(#stream{id = none}) -> ok;
settle(#stream{ref = Ref} = Stream) ->
    demonitor(Ref, [flush]),
    spawn(fun() -> settle(Stream, 30) end).

settle(#stream{sent = Sent, acked = Acked, id = Id}, 0) -> settle_by(Id, unknown, Acked, Sent);
settle(#stream{sent = Sent, acked = Acked, id = Id, peer = Peer} = Stream, Tries) ->
    try erpc:call(Peer, ?MODULE, settled, [Id], ?PATIENCE) of
        pending -> timer:sleep(1000), settle(Stream, Tries - 1);
        Answer -> settle_by(Id, Answer, Acked, Sent)
    catch
        _:_ -> timer:sleep(1000), settle(Stream, Tries - 1)
    end.

settle_by(_, {received, Count}, Acked, Sent) when Count >= Acked, Count =< Sent -> add(cut_off, Sent - Count);
settle_by(Id, {received, Count}, Acked, Sent) ->
    found(lost, abs(Acked - Count), {acknowledged, Id, Acked, received, Count, sent, Sent});
settle_by(_, unknown, Acked, Sent) -> add(unknown, Sent - Acked).

%% Asked by the sender's node. Old answers are of no use to anybody.
settled(Id) ->
    case ets:member(soak_settled, {open, Id}) of
        true -> pending;
        false ->
            case ets:take(soak_settled, Id) of
                [{_, Count}] -> {received, Count};
                [] -> unknown
            end
    end.

%% --- streams, receiving ---

receiver(Sender, Id, Size, Kind) ->
    monitor(process, Sender),
    ets:insert(soak_settled, {{open, Id}, true}),
    Connection = connection(node(Sender)),
    Sender ! {self(), ready},
    Count = take(#{sender => Sender, id => Id, size => Size, every => every(Kind), connection => Connection}, 1, 0),
    ets:insert(soak_settled, {Id, Count}),
    ets:delete(soak_settled, {open, Id}).

every(small) -> 200;
every(_) -> 10.

%% Takes messages until the stream ends; how many came.
take(#{sender := Sender, every := Every, size := Size} = Stream, Next, Acked) ->
    receive
        {Next, Payload} ->
            add(received),
            add(bytes, byte_size(Payload)),
            Payload =:= payload(Next, Size) orelse found(damaged, 1, {maps:get(id, Stream), Next}),
            take(Stream, Next + 1, acknowledge(Sender, Next, Acked, Every));
        {last, Number} when Number =:= Next - 1 ->
            Sender ! {self(), all, Number},
            Number;
        {last, Number} ->
            out_of_order(Stream, Next, Number + 1);
        {Number, _} when is_integer(Number) ->
            out_of_order(Stream, Next, Number);
        {'DOWN', _, process, Sender, _} ->
            Next - 1
    after case Acked of Received when Received =:= Next - 1 -> infinity; _ -> ?ACK_PAUSE end ->
        take(Stream, Next, acknowledge(Sender, Next - 1, Acked, 1))
    end.

acknowledge(Sender, Number, Acked, Every) when Number - Acked >= Every ->
    erlang:send(Sender, {self(), acked, Number}, [noconnect]),
    Number;
acknowledge(_, _, Acked, _) -> Acked.

%% The other end judges; see gap.
out_of_order(#{sender := Sender, connection := Connection}, Next, Came) ->
    connection(node(Sender)) =:= Connection andalso erlang:send(Sender, {self(), gap, Next, Came}, [noconnect]),
    Next - 1.

%% --- requests ---

request(Peer, Pause, Number) ->
    timer:sleep(Pause),
    case connection(Peer) of
        undefined -> ok;
        Connection ->
            add(requests),
            Payload = payload(Number, erlang:phash2(Number, 2048)),
            Calm = persistent_term:get({?MODULE, calm}),
            Began = now_ms(),
            try gen_server:call({?MODULE, Peer}, {echo, Payload}, ?CALL_PATIENCE) of
                Payload ->
                    add(answered),
                    Calm =/= 0 andalso Calm =:= persistent_term:get({?MODULE, calm}) andalso slowest(now_ms() - Began)
            catch
                %% A node that has just been started does not serve yet.
                exit:{noproc, _} -> add(broken_requests);
                exit:{Reason, _} -> broken(Peer, Connection, broken_requests, lost, {request, Peer, Reason})
            end
    end,
    request(Peer, Pause, Number + 1).

%% What failed with its connection is broken, what failed without it is a finding.
broken(Peer, Connection, Broken, Finding, What) ->
    case connection(Peer) of
        Connection -> found(Finding, 1, What);
        _ -> add(Broken)
    end.

%% --- processes on other nodes, links, monitors ---

companion(Peer, Pause, Number) ->
    timer:sleep(Pause),
    case connection(Peer) of
        undefined -> ok;
        Connection ->
            add(companions),
            case companion_says(Number rem 4, Peer, {companion, Number}) of
                ok -> ok;
                noconnection -> add(broken_companions);
                Other -> broken(Peer, Connection, broken_companions, wrong_companions, {companion, Number rem 4, Peer, Other})
            end
    end,
    companion(Peer, Pause, Number + 1).

%% A link and a monitor on a process over there that ends; one over there that is linked to, or monitors, one here that ends.
companion_says(0, Peer, Reason) ->
    Pid = spawn_link(Peer, ?MODULE, leave, [Reason]),
    receive {'EXIT', Pid, Said} -> same(Said, Reason) after ?PATIENCE -> no_exit end;
companion_says(1, Peer, Reason) ->
    {Pid, Ref} = spawn_monitor(Peer, ?MODULE, leave, [Reason]),
    receive {'DOWN', Ref, process, Pid, Said} -> same(Said, Reason) after ?PATIENCE -> no_down end;
companion_says(Kind, Peer, Reason) ->
    Here = spawn(fun() -> receive go -> exit(Reason) end end),
    {Pid, Ref} = spawn_monitor(Peer, ?MODULE, witness, [Kind, Here, self()]),
    Said = receive
        {Pid, Saw} -> same(Saw, Reason);
        {'DOWN', Ref, process, Pid, Why} -> Why
    after ?PATIENCE -> no_witness
    end,
    demonitor(Ref, [flush]),
    exit(Here, kill),
    Said.

same(Reason, Reason) -> ok;
same(Other, _) -> Other.

leave(Reason) -> exit(Reason).

witness(Kind, Pid, Asker) ->
    process_flag(trap_exit, true),
    case Kind of 2 -> link(Pid); 3 -> monitor(process, Pid) end,
    Pid ! go,
    receive
        {'EXIT', Pid, Reason} -> Asker ! {self(), Reason};
        {'DOWN', _, process, Pid, Reason} -> Asker ! {self(), Reason}
    end.

%% --- global names ---

%% Names are judged while nothing is done to the cluster: a cluster that is not whole does not agree on them. Each has a process
%% of its own, as one that was taken back may come again from a node that was cut off at that time.
name(Peers, Number) ->
    timer:sleep(1000),
    Calm = persistent_term:get({?MODULE, calm}),
    Name = {?MODULE, node(), Number},
    Holder = spawn(fun() -> receive leave -> ok end end),
    Everywhere = fun() -> [catch erpc:call(Peer, global, whereis_name, [Name], ?PATIENCE) || Peer <- Peers] end,
    Answer = try
        {global:register_name(Name, Holder), Everywhere(), global:unregister_name(Name), Everywhere()}
    catch
        Class:Reason -> {Class, Reason}
    end,
    Holder ! leave,
    Wanted = {yes, [Holder || _ <- Peers], ok, [undefined || _ <- Peers]},
    case persistent_term:get({?MODULE, calm}) of
        Calm when Calm =/= 0, Answer =:= Wanted -> add(names);
        Calm when Calm =/= 0 -> found(wrong_names, 1, {name, Name, Answer});
        _ -> ok
    end,
    name(Peers, Number + 1).

%% --- the server: answers requests, and watches connections come and go ---

init(Peers) ->
    ets:new(soak_settled, [named_table, public]),
    ets:new(soak_findings, [named_table, public, ordered_set]),
    ok = net_kernel:monitor_nodes(true, [nodedown_reason]),
    {ok, Peers}.

handle_call({echo, What}, _, Peers) -> {reply, What, Peers}.

handle_cast(_, Peers) -> {noreply, Peers}.

handle_info({nodeup, _, _}, Peers) ->
    add(connects),
    {noreply, Peers};
handle_info({nodedown, Node, Info}, Peers) ->
    add(breaks),
    persistent_term:get({?MODULE, calm}) =:= 0 orelse found(unexplained, 1, {Node, Info}),
    {noreply, Peers};
handle_info(_, Peers) -> {noreply, Peers}.
