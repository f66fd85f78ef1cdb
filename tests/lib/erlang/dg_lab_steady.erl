%% A steady load that nothing may disturb: numbered messages to each of several nodes, now and then a large one, and an eye
%% on whether a connection ends.
-module(dg_lab_steady).
-export([start/1, stop/0, receiver/2]).

-define(PACE, 3).                  % milliseconds between two messages
-define(LARGE_EVERY, 100).
-define(LARGE, 200000).            % bytes
-define(PATIENCE, 30000).

start(Nodes) ->
    Senders = [spawn(fun() -> begin_to_send(Node) end) || Node <- Nodes],
    register(?MODULE, spawn(fun() -> receive {stop, From} -> From ! {?MODULE, [ask(Sender) || Sender <- Senders]} end end)),
    ok.

%% Of each node {Node, what its receiver says, how often the connection was down}.
stop() ->
    ?MODULE ! {stop, self()},
    receive {?MODULE, Answers} -> Answers after ?PATIENCE -> timeout end.

ask(Sender) ->
    Sender ! {stop, self()},
    receive {Sender, Answer} -> Answer after ?PATIENCE -> timeout end.

begin_to_send(Node) ->
    monitor_node(Node, true),
    send(Node, spawn(Node, ?MODULE, receiver, [self(), 1]), 1, 0).

send(Node, To, Number, Downs) ->
    receive
        {nodedown, Node} ->
            send(Node, To, Number, Downs + 1);
        {stop, From} ->
            To ! {last, Number},
            Answer = receive {To, Said} -> Said after ?PATIENCE div 2 -> lost end,
            From ! {self(), {Node, Answer, Downs}}
    after ?PACE ->
        To ! {Number, payload(Number)},
        send(Node, To, Number + 1, Downs)
    end.

payload(Number) when Number rem ?LARGE_EVERY =:= 0 -> binary:copy(<<(erlang:phash2(Number)):32>>, ?LARGE div 4);
payload(Number) -> erlang:phash2(Number).

receiver(Sender, Next) ->
    receive
        {last, Next} -> Sender ! {self(), {all, Next - 1}};
        {Next, Payload} ->
            case payload(Next) of
                Payload -> receiver(Sender, Next + 1);
                _ -> Sender ! {self(), {changed, Next}}
            end;
        Other -> Sender ! {self(), {disorder, Next, element(1, Other)}}
    end.
