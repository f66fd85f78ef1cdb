%% What the demo's first node does with the second. It knows nothing of TLS: before and after, this very module runs.
-module(visit).
-export([start/1]).

-define(MEGABYTES, 100).
-define(PATIENCE, 30000).

%% erl -s visit start NODE MESSAGE GO_FILE: greets the node and sends it the message; once GO_FILE is there, moves 100 MB
%% to it and back.
start([Node, Message, GoFile]) ->
    say("ping ~ts: ~ts", [Node, net_adm:ping(Node)]),
    Echo = erpc:call(Node, erlang, atom_to_list, [Message]),
    say("message echoed: ~ts", [Echo]),
    await(atom_to_list(GoFile)),
    {Milliseconds, Unharmed} = there_and_back(Node, noise(1 bsl 20)),
    say("moved ~b MB there and back in ~b.~3..0b s, ~b MB/s, ~ts",
        [?MEGABYTES, Milliseconds div 1000, Milliseconds rem 1000, 2 * ?MEGABYTES * 1000 div Milliseconds,
         case Unharmed of true -> "every byte as it was"; false -> "CHANGED" end]).

there_and_back(Node, Megabyte) ->
    Begin = erlang:monotonic_time(millisecond),
    Requests = [erpc:send_request(Node, erlang, iolist_to_binary, [[<<N:32>>, Megabyte]]) || N <- lists:seq(1, ?MEGABYTES)],
    Answers = [erpc:receive_response(Request, ?PATIENCE) || Request <- Requests],
    End = erlang:monotonic_time(millisecond),
    Unharmed = Answers =:= [<<N:32, Megabyte/binary>> || N <- lists:seq(1, ?MEGABYTES)],
    {max(1, End - Begin), Unharmed}.

say(Format, Arguments) ->
    io:format(Format ++ "~n", Arguments).

await(File) ->
    case filelib:is_regular(File) of
        true -> ok;
        false -> timer:sleep(20), await(File)
    end.

noise(Size) ->
    rand:seed(exsss, 1),
    rand:bytes(Size).
