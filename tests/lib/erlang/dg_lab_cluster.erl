%% A cluster at work, and a witness of everything that goes wrong in it: on each node a server that all others call again
%% and again, a global name, and a table of Mnesia's that all write. Failures to reach a node that is excused, as it is
%% being restarted, do not count.
-module(dg_lab_cluster).
-behaviour(gen_server).
-export([found/1, join/1, work/1, excuse/1, expect/1, report/0, rest/0, contents/0, is_whole/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(TABLE, dg_lab_cluster_table).
-define(CALL_PAUSE, 8).       % milliseconds between two calls to one node: more than 200 a second for a pair, both directions
-define(WRITE_PAUSE, 50).
-define(PATIENCE, 5000).
-define(LOADING, 30000).

%% --- forming ---

%% To be called on one node of a new cluster, before any of them runs Mnesia.
found(Nodes) ->
    [pong = net_adm:ping(Node) || Node <- Nodes],
    ok = mnesia:create_schema(Nodes),
    [ok = erpc:call(Node, mnesia, start, []) || Node <- Nodes],
    {atomic, ok} = mnesia:create_table(?TABLE, [{disc_copies, Nodes}]),
    ok.

%% To be called on a node that comes back to its cluster.
join(Nodes) ->
    [pong = net_adm:ping(Node) || Node <- Nodes],
    ok = mnesia:start(),
    ok = mnesia:wait_for_tables([?TABLE], ?LOADING).

%% --- working ---

%% Starts the server, the calls to the others, and the writing.
work(Nodes) ->
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, [], []),
    yes = global:register_name({?MODULE, node()}, whereis(?MODULE)),
    [spawn(fun() -> call(Node, 1) end) || Node <- Nodes, Node =/= node()],
    spawn(fun() -> register(dg_lab_cluster_writer, self()), write(erlang:system_time(), 1) end),
    ok.

call(Node, Number) ->
    Excused = is_excused(Node),
    try gen_server:call({?MODULE, Node}, {echo, Number}, ?PATIENCE) of
        Number -> gen_server:cast(?MODULE, called)
    catch
        exit:{Reason, _} -> Excused orelse fail({call, Node, Reason})
    end,
    timer:sleep(?CALL_PAUSE),
    call(Node, Number + 1).

%% One row for each write; the last value that is acknowledged is remembered, to be found in the table afterwards.
write(Run, Number) ->
    {atomic, ok} = mnesia:transaction(fun() -> mnesia:write({?TABLE, {node(), Run, Number}, erlang:unique_integer()}) end),
    gen_server:cast(?MODULE, {written, {node(), Run, Number}}),
    receive
        {rest, From} -> From ! rested
    after ?WRITE_PAUSE ->
        write(Run, Number + 1)
    end.

rest() ->
    dg_lab_cluster_writer ! {rest, self()},
    receive rested -> ok after ?PATIENCE -> timeout end.

%% --- witnessing ---

excuse(Node) -> persistent_term:put({?MODULE, Node}, excused), ok.
expect(Node) -> persistent_term:erase({?MODULE, Node}), ok.

is_excused(Node) -> persistent_term:get({?MODULE, Node}, expected) =:= excused.

%% A call that fails may be of a node that has been excused since it began.
fail({_, Node, _} = What) -> is_excused(Node) orelse gen_server:cast(?MODULE, {failed, What}).

%% {Calls that succeeded, what went wrong, the last write that was acknowledged or none}, since the server was started.
report() -> gen_server:call(?MODULE, report).

%% Whether all global names are known here.
is_whole(Nodes) ->
    lists:sort(nodes()) =:= lists:sort(Nodes -- [node()])
        andalso lists:all(fun(Node) -> is_pid(global:whereis_name({?MODULE, Node})) end, Nodes)
        andalso lists:sort(mnesia:system_info(running_db_nodes)) =:= lists:sort(Nodes).

%% {Rows, a hash of all, the rows' keys as a sorted list of {Node, Run, First, Last, Count}}
contents() ->
    Rows = lists:sort(ets:tab2list(?TABLE)),
    Runs = lists:foldl(fun({_, {Node, Run, Number}, _}, Seen) ->
               maps:update_with({Node, Run}, fun({Least, Most, Count}) ->
                   {min(Least, Number), max(Most, Number), Count + 1} end, {Number, Number, 1}, Seen) end, #{}, Rows),
    {length(Rows), erlang:phash2(Rows), [{Key, Least, Most, Count} || {Key, {Least, Most, Count}} <- lists:sort(maps:to_list(Runs))]}.

%% --- the server ---

init([]) ->
    ok = net_kernel:monitor_nodes(true),
    {ok, _} = mnesia:subscribe(system),
    {ok, {0, [], none}}.

handle_call({echo, What}, _, State) -> {reply, What, State};
handle_call(report, _, State) -> {reply, State, State}.

handle_cast(called, {Calls, Failures, Written}) -> {noreply, {Calls + 1, Failures, Written}};
handle_cast({written, Key}, {Calls, Failures, _}) -> {noreply, {Calls, Failures, Key}};
handle_cast({failed, What}, {Calls, Failures, Written}) -> {noreply, {Calls, [What | Failures], Written}}.

handle_info({nodedown, Node}, State) -> lost(Node, nodedown, State);
handle_info({mnesia_system_event, {mnesia_down, Node}}, State) -> lost(Node, mnesia_down, State);
handle_info({mnesia_system_event, {inconsistent_database, Context, Node}}, {Calls, Failures, Written}) ->
    {noreply, {Calls, [{inconsistent_database, Node, Context} | Failures], Written}};
handle_info(_, State) -> {noreply, State}.

lost(Node, What, {Calls, Failures, Written} = State) ->
    case is_excused(Node) of
        true -> {noreply, State};
        false -> {noreply, {Calls, [{What, Node, lost} | Failures], Written}}
    end.
