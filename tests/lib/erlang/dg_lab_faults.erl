%% Traffic over connections that break: what arrives of it must be a prefix of what was sent, byte by byte.
%%
%% Each node has one process. Told of a run, it sends its messages when the other node comes up, never making a connection for
%% them, and holds those that come against what the other sends: run, number, and a hash over these and the bytes.
-module(dg_lab_faults).
-export([start/0, prepare/4, state/0, reach/2]).

-define(MARK, <<"Winnetou and Old Shatterhand">>).
-define(MOST, (1 bsl 20)).

start() ->
    Noise = noise(),
    Starter = self(),
    spawn(fun() ->
        register(?MODULE, self()),
        ok = net_kernel:monitor_nodes(true),
        Starter ! {?MODULE, ready},
        serve(#{run => 0, peer => none, waiting => [], noise => Noise, sender => none, sent => 0, next => 1, wrong => [],
            ups => 0, downs => 0, down_at => 0})
    end),
    receive {?MODULE, ready} -> ok end.

%% Of run number Run: the sizes of the messages to send to Peer.
prepare(Run, Peer, Sizes, Patience) -> ask({prepare, Run, Peer, Sizes}, Patience).

%% {messages received, messages sent, idle | sending, whether there is a connection to the peer or one in the making, ups, downs,
%% when it was last lost in milliseconds, [what was not as it should be]}, since the run was prepared.
state() -> ask(state, 5000).

ask(Request, Patience) ->
    Reference = make_ref(),
    ?MODULE ! {Reference, self(), Request},
    receive {Reference, Answer} -> Answer after Patience -> exit({no_answer, Request}) end.

serve(State) ->
    receive Message -> serve(handle(Message, State)) end.

handle({Reference, From, {prepare, Run, Peer, Sizes}}, State = #{sender := none}) ->
    From ! {Reference, ok},
    State#{run := Run, peer := Peer, waiting := Sizes, sent := 0, next := 1, wrong := [], ups := 0, downs := 0};
handle({Reference, From, state}, State) ->
    #{peer := Peer, sender := Sender, sent := Sent, next := Next, ups := Ups, downs := Downs, down_at := At, wrong := Wrong} = State,
    Doing = case Sender of none -> idle; _ -> sending end,
    From ! {Reference, {Next - 1, Sent, Doing, ets:member(sys_dist, Peer), Ups, Downs, At, lists:reverse(Wrong)}},
    State;
handle({Reference, From, are_you_there}, State) ->
    From ! {Reference, yes},
    State;
handle({nodeup, Peer}, State = #{peer := Peer, waiting := [_ | _] = Sizes, run := Run, noise := Noise, ups := Ups}) ->
    Sender = spawn_monitor(fun() -> exit({sent, send(Peer, Run, 1, Sizes, Noise)}) end),
    State#{waiting := [], sender := Sender, ups := Ups + 1};
handle({nodeup, _}, State = #{ups := Ups}) ->
    State#{ups := Ups + 1};
handle({nodedown, _}, State = #{downs := Downs}) ->
    State#{downs := Downs + 1, down_at := os:system_time(millisecond)};
handle({'DOWN', Monitor, process, Pid, {sent, Sent}}, State = #{sender := {Pid, Monitor}}) ->
    State#{sender := none, sent := Sent};
handle({message, Mark, Run, Number, Hash, Bytes}, State = #{run := Run, next := Number}) when Mark =:= ?MARK ->
    case hash(Run, Number, Bytes) of
        Hash -> State#{next := Number + 1};
        _ -> wrong({other_bytes, Run, Number, byte_size(Bytes)}, State#{next := Number + 1})
    end;
handle({message, _, Run, Number, _, Bytes}, State) ->
    wrong({message, Run, Number, size_of(Bytes)}, State);
handle(Other, State) ->
    wrong({strange, Other}, State).

wrong(What, State = #{wrong := Wrong}) -> State#{wrong := [What | Wrong]}.

size_of(Bytes) when is_binary(Bytes) -> byte_size(Bytes);
size_of(_) -> no_binary.

%% How many have left, as far as we know: up to all of them, or until there is no connection any more.
send(_, _, Number, [], _) -> Number - 1;
send(Peer, Run, Number, [Size | Sizes], Noise) ->
    Bytes = binary:part(Noise, erlang:phash2({Run, Number}, ?MOST), Size),
    case erlang:send({?MODULE, Peer}, {message, ?MARK, Run, Number, hash(Run, Number, Bytes), Bytes}, [noconnect]) of
        ok -> send(Peer, Run, Number + 1, Sizes, Noise);
        noconnect -> Number - 1
    end.

hash(Run, Number, Bytes) when is_binary(Bytes) -> erlang:md5([<<Run:32, Number:32>>, Bytes]);
hash(_, _, _) -> none.

%% Two of the largest messages, with a mark in every few kilobytes, so that every fragment shows it.
noise() ->
    Words = 1000,
    Blocks = 2 * ?MOST div (4 * Words),
    iolist_to_binary([[?MARK, << <<(erlang:phash2({Block, Word}, 1 bsl 32)):32>> || Word <- lists:seq(1, Words) >>]
        || Block <- lists:seq(1, Blocks + 1)]).

%% Sends ordinary messages, which make a connection where there is none, until one is answered: the milliseconds until then.
%% At other times no message makes one (dist_auto_connect), also none of those that OTP's rpc exchanges with a node that is new.
reach(Peer, Patience) ->
    ok = application:unset_env(kernel, dist_auto_connect),
    Begin = erlang:monotonic_time(millisecond),
    Took = reach(Peer, Begin, Begin + Patience),
    ok = application:set_env(kernel, dist_auto_connect, never),
    Took.

reach(Peer, Begin, End) ->
    Reference = make_ref(),
    {?MODULE, Peer} ! {Reference, self(), are_you_there},
    Answer = receive {Reference, yes} -> yes after 200 -> none end,
    case erlang:monotonic_time(millisecond) of
        Now when Answer =:= yes -> Now - Begin;
        Now when Now < End -> reach(Peer, Begin, End);
        _ -> never
    end.
