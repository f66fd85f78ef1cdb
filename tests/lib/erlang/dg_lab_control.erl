%% Evaluates expressions that the laboratory sends over two pipes, so that a node can be asked for anything without
%% distribution. Requests are <<Id:32, Expression/binary>>, answers <<Id:32, $v | $e, Text/binary>>.
-module(dg_lab_control).
-export([start/0]).

-define(REQUESTS, 3).
-define(ANSWERS, 4).
-define(STARTED, 0).

start() ->
    spawn(fun() ->
        register(?MODULE, self()),
        Port = open_port({fd, ?REQUESTS, ?ANSWERS}, [{packet, 4}, binary, eof]),
        answer(Port, ?STARTED, $v, "started"),
        serve(Port)
    end).

serve(Port) ->
    receive
        {Port, {data, <<Id:32, Text/binary>>}} ->
            spawn(fun() -> evaluate(Port, Id, unicode:characters_to_list(Text)) end),
            serve(Port);
        {Port, eof} ->
            %% The laboratory is gone.
            erlang:halt(0)
    end.

evaluate(Port, Id, Text) ->
    try
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, erl_eval:new_bindings()),
        answer(Port, Id, $v, io_lib:format("~0tp", [Value]))
    catch
        Class:Reason:Stack ->
            answer(Port, Id, $e, io_lib:format("~0tp:~0tp at ~0tp", [Class, Reason, Stack]))
    end.

%% Any process may write to the port, the owner alone reads from it.
answer(Port, Id, Kind, Text) ->
    true = port_command(Port, [<<Id:32>>, Kind, unicode:characters_to_binary(Text)]).
