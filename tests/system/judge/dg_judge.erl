%% Runs the cases of the dg_judge_* modules. A case is an exported function of one argument, the world, and tells what it
%% saw in a term that is the same in every run: what differs from run to run (ports, times) it leaves out or names by a
%% word. Pids, references and addresses are made the same by who compares (tests/lib/Distguard/Lab/Judge.pm).
%%
%% The world: peer => the other node, peer_pid => its process, here and there => the addresses of both, nowhere => one that
%% nobody has, silent => one of a host without Erlang, dir => a folder of this node's own, backend => inet or socket, by
%% what gen_tcp is to be carried.
-module(dg_judge).
-export([cases/1, run/3, ordered/1]).
-export([connected/1, disconnected/1, dist_port/1, there/2, wait/1, heard/2, timed/1, outcome/1]).

-define(CASE_LIMIT, 40000).
-define(PATIENCE, 10000).

cases(Module) ->
    lists:sort([Name || {Name, 1} <- Module:module_info(exports), Name =/= module_info]).

run(Module, Case, World) ->
    {Pid, Reference} = spawn_monitor(fun() -> exit({saw, Module:Case(World)}) end),
    receive
        {'DOWN', Reference, process, Pid, {saw, Term}} -> ordered(Term);
        {'DOWN', Reference, process, Pid, Reason} -> {the_case_crashed, Reason}
    after ?CASE_LIMIT ->
        Where = process_info(Pid, [current_stacktrace, messages]),
        exit(Pid, kill),
        {the_case_hangs, Where}
    end.

%% The same with its maps as sorted lists: in which order a map is printed differs between two VMs.
ordered(Map) when is_map(Map) -> {map, lists:sort([{ordered(Key), ordered(Value)} || {Key, Value} <- maps:to_list(Map)])};
ordered(Tuple) when is_tuple(Tuple) -> list_to_tuple(ordered(tuple_to_list(Tuple)));
ordered([Head | Tail]) -> [ordered(Head) | ordered(Tail)];
ordered(Other) -> Other.

%% Brings a connection about, and waits until both ends have it.
connected(#{peer := Peer}) ->
    wait(fun() -> net_kernel:connect_node(Peer) =:= true end),
    Self = node(),
    wait(fun() -> catch erpc:call(Peer, fun() -> lists:member(Self, nodes(connected)) end) end).

%% Takes it down. What the cases before have under way (global looks for the others' names) may bring it back at once.
disconnected(#{peer := Peer}) ->
    erlang:disconnect_node(Peer),
    wait(fun() -> not lists:member(Peer, nodes(connected)) end).

%% The port that carries the connection, or the process, where the socket module does.
dist_port(#{peer := Peer}) ->
    {Peer, Port} = lists:keyfind(Peer, 1, erlang:system_info(dist_ctrl)),
    Port.

there(#{peer := Peer}, Fun) -> erpc:call(Peer, Fun).

wait(Condition) -> wait(Condition, ?PATIENCE div 10).

wait(_, 0) -> exit(waited_in_vain);
wait(Condition, Times) ->
    case Condition() of
        true -> ok;
        _ -> timer:sleep(10), wait(Condition, Times - 1)
    end.

%% What a socket sends to its owner until it is closed, or silent for so long. Bytes of a stream are put together, as
%% their pieces depend on the moment.
heard(Socket, Silence) -> join(hear(Socket, Silence)).

hear(Socket, Silence) ->
    receive
        {Kind, Socket} when Kind =:= tcp_closed; Kind =:= udp_closed -> [closed];
        {Kind, Socket} -> [Kind | hear(Socket, Silence)];
        {tcp, Socket, Data} -> [{data, Data} | hear(Socket, Silence)];
        {Kind, Socket, What} -> [{Kind, What} | hear(Socket, Silence)]
    after Silence -> [silence]
    end.

join([{data, One}, {data, Other} | More]) when is_binary(One), is_binary(Other) ->
    join([{data, <<One/binary, Other/binary>>} | More]);
join([One | More]) -> [One | join(More)];
join([]) -> [].

%% How long something took, in words that do not depend on the machine's load.
timed(Fun) ->
    Begin = erlang:monotonic_time(millisecond),
    Value = outcome(Fun),
    {Value, case erlang:monotonic_time(millisecond) - Begin of
                Took when Took < 2000 -> within_two_seconds;
                Took when Took < 12000 -> within_twelve_seconds;
                _ -> slow
            end}.

%% The value, or what was raised, without the stack.
outcome(Fun) ->
    try Fun()
    catch Class:Reason -> {Class, Reason}
    end.
