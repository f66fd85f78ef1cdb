%% Loads for the wire, each with a proof that what was sent arrived.
-module(dg_lab_traffic).
-export([there_and_back/2, ordered/2, bursts/2, echo/0, counter/1, fill/3, fill_when_told/3, mixture/2, sink/2]).

-define(PATIENCE, 120000).
-define(CHUNK, (1 bsl 20)).

%% Sends one binary of so many megabytes to the node and back; {SameBytes, SameHash}. No megabyte equals another.
there_and_back(Node, Megabytes) ->
    Data = iolist_to_binary([noise(N) || N <- lists:seq(1, Megabytes)]),
    RemoteHash = erpc:call(Node, erlang, md5, [Data]),
    Back = erpc:call(Node, erlang, iolist_to_binary, [Data]),
    {Back =:= Data, RemoteHash =:= erlang:md5(Data)}.

%% Sends 1..Count one by one; the receiver says whether they came in this order.
ordered(Node, Count) ->
    Counter = spawn_link(Node, ?MODULE, counter, [self()]),
    send_numbers(Counter, 1, Count),
    Counter ! {last, Count},
    receive {Counter, Answer} -> Answer after ?PATIENCE -> timeout end.

send_numbers(_, Number, Count) when Number > Count -> ok;
send_numbers(To, Number, Count) ->
    To ! Number,
    send_numbers(To, Number + 1, Count).

counter(Sender) -> counter(Sender, 1).

counter(Sender, Next) ->
    receive
        Next -> counter(Sender, Next + 1);
        {last, Count} when Count =:= Next - 1 -> Sender ! {self(), ordered};
        Other -> Sender ! {self(), {disorder, Next, Other}}
    end.

%% Bursts of a few small messages, with pauses of none to some milliseconds, each followed by nothing until its last
%% message has come back: what is held must not wait for what never comes. `all` or the first burst that got stuck.
bursts(Node, Count) ->
    bursts(spawn_link(Node, ?MODULE, echo, []), 1, Count).

bursts(_, Number, Count) when Number > Count -> all;
bursts(Echo, Number, Count) ->
    Size = 1 + Number rem 7,
    [Echo ! {one, N} || N <- lists:seq(2, Size)],
    Echo ! {last, self(), Number},
    receive Number -> ok after 2000 -> exit({stuck, Number}) end,
    Number rem 50 == 0 andalso timer:sleep(Number rem 3),
    bursts(Echo, Number + 1, Count).

echo() ->
    receive
        {one, _} -> ok;
        {last, From, Number} -> From ! Number
    end,
    echo().

%% Sends Count binaries of Size bytes to a process on the node and asks it for the hash over all of them.
fill(Node, Count, Size) ->
    pour(open_sink(Node), Count, Size).

%% The same once somebody has sent `go` to `filler`: opening the sink takes an answer from the other node.
fill_when_told(Node, Count, Size) ->
    Sink = open_sink(Node),
    register(filler, self()),
    receive go -> pour(Sink, Count, Size) end.

open_sink(Node) ->
    spawn(Node, ?MODULE, sink, [self(), erlang:md5_init()]).

pour(Sink, Count, Size) ->
    Hash = lists:foldl(
        fun(N, Context) ->
            Data = binary:part(noise(N), 0, Size),
            Sink ! {data, Data},
            erlang:md5_update(Context, Data)
        end, erlang:md5_init(), lists:seq(1, Count)),
    Sink ! done,
    Mine = erlang:md5_final(Hash),
    receive {Sink, Mine} -> same_hash; {Sink, _} -> other_hash after ?PATIENCE -> timeout end.

sink(Sender, Context) ->
    receive
        {data, Data} -> sink(Sender, erlang:md5_update(Context, Data));
        done -> Sender ! {self(), erlang:md5_final(Context)}
    end.

%% Large messages, which distribution cuts into fragments of 64 KiB, from several processes at once, and between their
%% fragments a stream of small ones.
mixture(Node, Large) ->
    Self = self(),
    Workers = [spawn_link(fun() -> Self ! {self(), fill(Node, Large, ?CHUNK - N * 777)} end) || N <- lists:seq(0, 2)],
    Small = spawn_link(fun() -> Self ! {self(), ordered(Node, 20000)} end),
    [receive {Pid, Result} -> Result after ?PATIENCE -> timeout end || Pid <- Workers ++ [Small]].

%% A megabyte that is different for every number.
noise(Number) ->
    Block = << <<(erlang:phash2({Number, N}, 1 bsl 32)):32>> || N <- lists:seq(1, 1024) >>,
    binary:copy(Block, ?CHUNK div byte_size(Block)).
