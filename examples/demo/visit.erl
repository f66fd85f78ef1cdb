%% What the demo's first node does with the second. It knows nothing of TLS: before and after, this very module runs.
-module(visit).
-export([start/1]).

-define(MEGABYTES, 100).

%% erl -s visit start 'NODE' MESSAGE GO_FILE: greets the node and sends it the message; once GO_FILE is there, moves
%% 100 MB to it and back.
start([Node, Message, GoFile]) ->
    say("ping ~ts: ~ts", [Node, net_adm:ping(Node)]),
    Echo = erpc:call(Node, erlang, atom_to_list, [Message]),
    say("message echoed: ~ts", [Echo]),
    await(atom_to_list(GoFile)),
    Data = binary:copy(noise(1 bsl 20), ?MEGABYTES),
    Begin = erlang:monotonic_time(millisecond),
    Back = erpc:call(Node, erlang, iolist_to_binary, [Data]),
    Milliseconds = max(1, erlang:monotonic_time(millisecond) - Begin),
    say("moved ~b MB there and back in ~b.~3..0b s, ~b MB/s, ~ts",
        [?MEGABYTES, Milliseconds div 1000, Milliseconds rem 1000, 2 * ?MEGABYTES * 1000 div Milliseconds,
         case Back =:= Data of true -> "every byte as it was"; false -> "CHANGED" end]).

say(Format, Arguments) ->
    io:format(Format ++ "~n", Arguments).

await(File) ->
    case filelib:is_regular(File) of
        true -> ok;
        false -> timer:sleep(20), await(File)
    end.

%% Nothing that compresses or repeats within a megabyte, without the crypto application.
noise(Size) ->
    rand:seed(exsss, 1),
    rand:bytes(Size).
