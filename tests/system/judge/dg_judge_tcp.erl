%% gen_tcp and inet as an application has them, with sockets of its own: what they promise must hold in a VM whose
%% distribution is guarded. All of it for both of gen_tcp's backends.
-module(dg_judge_tcp).
-export([packet_lengths/1, packet_parsers/1, packets_byte_by_byte/1, lookalikes/1, the_server_speaks_first/1,
         active_once/1, active_count/1, passive_recv/1, recv_timeout/1, unrecv/1, header_and_modes/1, deliver_port/1,
         half_close/1, send_after_shutdown/1, shutdown_both/1, shutdown_before_a_byte/1, stay_open_at_the_end/1, nothing_said/1,
         abort_by_linger/1, abort_before_accept/1, owner_exits_with_data_queued/1, close_with_unread_data/1,
         send_timeout/1, send_timeout_close/1, busy_port/1, delay_send/1, watermarks/1, buffers/1, options/1,
         options_inherited/1, options_refused/1, raw_options/1, names_of_ends/1, names_after_close/1, statistics/1,
         port_figures/1, controlling_process/1, monitors/1, descriptor_handed_over/1, connect_refused/1,
         connect_timeout/1, connect_from_an_address/1, connect_twice/1, listen_twice/1, listen_elsewhere/1,
         accept_timeout/1, acceptors/1, listener_closed/1, backlog/1, both_families/1, local_stream/1, abstract/1,
         another_network/1, device/1, much_data/1, both_ways_at_once/1, sendfile/1, many_connections/1, select_pending/1,
         out_of_band/1, by_name/1, error_texts/1]).

-define(PATIENCE, 10000).
-define(SILENCE, 300).

%% --- ends ---

options(#{backend := Backend}, Options) -> [{inet_backend, Backend} | Options].

listen(World, Port, Options) -> gen_tcp:listen(Port, options(World, Options)).

connect(World, Address, Port, Options) -> gen_tcp:connect(Address, Port, options(World, Options), ?PATIENCE).

%% A listener on loopback, a client and the accepted end, of this process.
ends(World) -> ends(World, [], []).

ends(World, AcceptedOptions, ClientOptions) ->
    {ok, Listener} = listen(World, 0, [binary, {active, false}, {ip, {127, 0, 0, 1}} | AcceptedOptions]),
    {ok, Port} = inet:port(Listener),
    {ok, Client} = connect(World, {127, 0, 0, 1}, Port, [binary, {active, false} | ClientOptions]),
    {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
    gen_tcp:close(Listener),
    {Client, Accepted}.

%% The accepted end is in the peer's VM, served by Server(Accepted), whose value is the other answer.
between_nodes(#{there := There} = World, Server, Client) ->
    Self = self(),
    Pid = dg_judge:there(World, fun() ->
        Reporter = self(),
        Pid = spawn(fun() ->
            {ok, Listener} = listen(World, 0, [binary, {active, false}, {ip, There}]),
            {ok, Port} = inet:port(Listener),
            Reporter ! {self(), Port},
            {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
            Self ! {self(), dg_judge:outcome(fun() -> Server(Accepted) end)}
        end),
        receive {Pid, Port} -> {Pid, Port} end
    end),
    {Serving, Port} = Pid,
    {ok, Socket} = connect(World, There, Port, [binary, {active, false}]),
    Mine = dg_judge:outcome(fun() -> Client(Socket) end),
    receive {Serving, Other} -> {Mine, Other} after ?PATIENCE -> {Mine, timeout} end.

recv_all(Socket) -> recv_all(Socket, <<>>).

recv_all(Socket, Before) ->
    case gen_tcp:recv(Socket, 0, ?PATIENCE) of
        {ok, Data} -> recv_all(Socket, <<Before/binary, Data/binary>>);
        {error, Reason} -> {Reason, byte_size(Before), erlang:crc32(Before)}
    end.

noise(Size) -> binary:part(binary:copy(<< <<(erlang:phash2(N)):32>> || N <- lists:seq(1, 5000) >>, Size div 20000 + 1), 0, Size).

%% --- framing ---

packet_lengths(World) ->
    {[framed(World, Packet, [<<"first">>, <<>>, binary:copy(<<"x">>, 200), noise(70000)]) || Packet <- [2, 4]],
     framed(World, 1, [<<"one">>, noise(300), <<"two">>])}.

framed(World, Packet, Messages) ->
    {Client, Accepted} = ends(World, [{packet, Packet}], [{packet, Packet}]),
    Sent = [gen_tcp:send(Client, Message) || Message <- Messages],
    Received = [case gen_tcp:recv(Accepted, 0, ?PATIENCE) of
                    {ok, Data} -> {byte_size(Data), erlang:phash2(Data)};
                    Other -> Other
                end || ok <- Sent],
    gen_tcp:close(Client),
    {Packet, Sent, Received, gen_tcp:recv(Accepted, 0, ?PATIENCE)}.

samples() ->
    [{asn1, <<16#30, 3, 1, 1, 255>>},
     {sunrm, <<16#80, 0, 0, 3, "abc">>},
     {cdr, <<"GIOP", 1, 0, 1, 0, 2, 0, 0, 0, "ab">>},
     {fcgi, <<1, 5, 0, 1, 0, 3, 1, 0, "abc", 0>>},
     {tpkt, <<3, 0, 0, 7, "abc">>},
     {line, <<"one\r\ntwo\n", 0, 255, "\n">>},
     {http, <<"GET /x HTTP/1.1\r\nHost: lab\r\nAccept: */*\r\n\r\n">>},
     {http_bin, <<"HTTP/1.0 404 Not Found\r\nX-Lab: 1\r\n\r\n">>},
     {httph, <<"Content-Length: 3\r\n\r\n">>}].

packet_parsers(World) ->
    [begin
        {Client, Accepted} = ends(World, [{packet, Packet}], []),
        ok = gen_tcp:send(Client, [Sample, Sample]),
        ok = gen_tcp:shutdown(Client, write),
        inet:setopts(Accepted, [{active, true}]),
        {Packet, dg_judge:heard(Accepted, ?SILENCE)}
     end || {Packet, Sample} <- samples()].

packets_byte_by_byte(World) ->
    {Client, Accepted} = ends(World, [{packet, 2}], [{nodelay, true}]),
    Bytes = <<0, 5, "Nabcd", 0, 0, 0, 3, "xyz">>,
    spawn_link(fun() -> [begin ok = gen_tcp:send(Client, <<Byte>>), timer:sleep(5) end || <<Byte>> <= Bytes] end),
    [gen_tcp:recv(Accepted, 0, ?PATIENCE) || _ <- [1, 2, 3]].

%% Bytes that begin as distribution or TLS do, and are an application's.
lookalikes(World) ->
    Flags = 0,
    Starts = [<<0, 21, $n, 0, 5, Flags:32, "a@b">>, <<0, 28, $N, Flags:64, 1:32, 13:16, "a@longer.name">>, <<0, 20, $N>>,
              <<0, 20, "Never mind what">>, <<16#16, 3, 1, 2, 0, 1, 0, 1, 252>>, <<21, 3, 3, 0, 2, 2, 40>>, <<0, 0, 0, 0>>,
              <<"GET / HTTP/1.0\r\n\r\n">>, <<0>>, <<0, 1, $n>>],
    [between_nodes(World,
        fun(Accepted) -> {ok, Data} = gen_tcp:recv(Accepted, byte_size(Start), ?PATIENCE),
                         ok = gen_tcp:send(Accepted, Data), recv_all(Accepted) end,
        fun(Socket) -> ok = gen_tcp:send(Socket, Start), {ok, Back} = gen_tcp:recv(Socket, byte_size(Start), ?PATIENCE),
                       ok = gen_tcp:send(Socket, <<"and more">>), gen_tcp:close(Socket), Back =:= Start end)
     || Start <- Starts].

the_server_speaks_first(World) ->
    between_nodes(World,
        fun(Accepted) -> {gen_tcp:send(Accepted, <<"220 welcome\r\n">>), recv_all(Accepted)} end,
        fun(Socket) -> {gen_tcp:recv(Socket, 13, ?PATIENCE), gen_tcp:send(Socket, <<"HELO">>), gen_tcp:close(Socket)} end).

%% --- receiving ---

active_once(World) ->
    {Client, Accepted} = ends(World, [{packet, 1}], [{packet, 1}]),
    [ok = gen_tcp:send(Client, <<N>>) || N <- [1, 2, 3]],
    [begin
        ok = inet:setopts(Accepted, [{active, once}]),
        Heard = receive {tcp, Accepted, Data} -> Data after ?PATIENCE -> timeout end,
        {Heard, receive {tcp, Accepted, _} = More -> More after 50 -> nothing_more end, inet:getopts(Accepted, [active])}
     end || _ <- [1, 2, 3]].

active_count(World) ->
    {Client, Accepted} = ends(World, [{packet, 1}], [{packet, 1}]),
    ok = inet:setopts(Accepted, [{active, 2}]),
    {ok, Two} = inet:getopts(Accepted, [active]),
    ok = inet:setopts(Accepted, [{active, 1}]),
    {ok, Three} = inet:getopts(Accepted, [active]),
    [ok = gen_tcp:send(Client, <<N>>) || N <- [1, 2, 3, 4]],
    Heard = dg_judge:heard(Accepted, ?SILENCE),
    {Two, Three, Heard, inet:getopts(Accepted, [active]), gen_tcp:recv(Accepted, 0, ?PATIENCE),
     inet:setopts(Accepted, [{active, -40000}])}.

passive_recv(World) ->
    {Client, Accepted} = ends(World),
    ok = gen_tcp:send(Client, <<"0123456789">>),
    ok = gen_tcp:shutdown(Client, write),
    [gen_tcp:recv(Accepted, Length, ?PATIENCE) || Length <- [3, 1, 4, 3, 0, 0]].

recv_timeout(World) ->
    {Client, Accepted} = ends(World),
    First = gen_tcp:recv(Accepted, 0, 0),
    Second = dg_judge:timed(fun() -> gen_tcp:recv(Accepted, 5, 50) end),
    ok = gen_tcp:send(Client, <<"abc">>),
    Third = gen_tcp:recv(Accepted, 5, 50),
    ok = gen_tcp:send(Client, <<"de">>),
    {First, Second, Third, gen_tcp:recv(Accepted, 5, ?PATIENCE), gen_tcp:recv(Accepted, 0, 0)}.

unrecv(World) ->
    {Client, Accepted} = ends(World),
    ok = gen_tcp:send(Client, <<"cd">>),
    {ok, Data} = gen_tcp:recv(Accepted, 2, ?PATIENCE),
    {dg_judge:outcome(fun() -> gen_tcp:unrecv(Accepted, Data) end), gen_tcp:recv(Accepted, 2, 500)}.

header_and_modes(World) ->
    [begin
        {Client, Accepted} = ends(World, [{packet, 2}, {header, 2}, {mode, Mode}], [{packet, 2}]),
        ok = gen_tcp:send(Client, <<1, 2, 3, 4>>),
        ok = inet:setopts(Accepted, [{active, once}]),
        receive {tcp, Accepted, Data} -> Data after ?PATIENCE -> timeout end
     end || Mode <- [list, binary]].

deliver_port(World) ->
    {Client, Accepted} = ends(World, [], []),
    Set = dg_judge:outcome(fun() -> inet:setopts(Accepted, [{deliver, port}, {active, true}]) end),
    ok = gen_tcp:send(Client, <<"as a port would">>),
    {Set, receive {Accepted, {data, Data}} -> {port_data, iolist_to_binary(Data)}; {tcp, Accepted, Data} -> {tcp, Data}
          after 1000 -> nothing end}.

%% --- ends of connections ---

half_close(World) ->
    between_nodes(World,
        fun(Accepted) ->
            Before = recv_all(Accepted),
            {Before, gen_tcp:send(Accepted, noise(300000)), gen_tcp:close(Accepted)}
        end,
        fun(Socket) ->
            ok = gen_tcp:send(Socket, noise(100000)),
            {gen_tcp:shutdown(Socket, write), recv_all(Socket)}
        end).

send_after_shutdown(World) ->
    {Client, Accepted} = ends(World),
    {gen_tcp:shutdown(Client, write), gen_tcp:send(Client, <<"too late">>), gen_tcp:recv(Accepted, 0, ?PATIENCE)}.

shutdown_both(World) ->
    {Client, Accepted} = ends(World),
    {gen_tcp:shutdown(Client, read), gen_tcp:recv(Client, 0, 500), gen_tcp:shutdown(Client, read_write),
     gen_tcp:recv(Accepted, 0, 1000), gen_tcp:shutdown(Client, write), gen_tcp:close(Client)}.

shutdown_before_a_byte(World) ->
    between_nodes(World,
        fun(Accepted) -> {gen_tcp:recv(Accepted, 0, ?PATIENCE), gen_tcp:send(Accepted, <<"goodbye">>)} end,
        fun(Socket) -> {gen_tcp:shutdown(Socket, write), gen_tcp:recv(Socket, 7, ?PATIENCE)} end).

stay_open_at_the_end(World) ->
    {Client, Accepted} = ends(World, [{exit_on_close, false}], []),
    ok = gen_tcp:send(Client, <<"last words">>),
    ok = gen_tcp:shutdown(Client, write),
    {gen_tcp:recv(Accepted, 10, ?PATIENCE), gen_tcp:recv(Accepted, 0, ?PATIENCE), gen_tcp:send(Accepted, <<"yes?">>),
     gen_tcp:recv(Client, 4, ?PATIENCE), gen_tcp:close(Accepted), gen_tcp:recv(Client, 0, ?PATIENCE)}.

nothing_said(World) ->
    between_nodes(World,
        fun(Accepted) -> {inet:getopts(Accepted, [active]), gen_tcp:recv(Accepted, 0, ?PATIENCE)} end,
        fun(Socket) -> gen_tcp:close(Socket) end).

abort_by_linger(World) ->
    [begin
        {Client, Accepted} = ends(World, [{show_econnreset, Show}], [{linger, {true, 0}}]),
        ok = inet:setopts(Accepted, [{active, true}]),
        ok = gen_tcp:close(Client),
        {Show, dg_judge:heard(Accepted, ?SILENCE), gen_tcp:send(Accepted, <<"anybody?">>)}
     end || Show <- [false, true]].

abort_before_accept(World) ->
    {ok, Listener} = listen(World, 0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    {ok, Client} = connect(World, {127, 0, 0, 1}, Port, [{linger, {true, 0}}]),
    ok = gen_tcp:close(Client),
    {ok, Next} = connect(World, {127, 0, 0, 1}, Port, [binary]),
    ok = gen_tcp:send(Next, <<"alive">>),
    {ok, First} = gen_tcp:accept(Listener, ?PATIENCE),
    {ok, Second} = gen_tcp:accept(Listener, ?PATIENCE),
    {gen_tcp:recv(First, 0, ?PATIENCE), gen_tcp:recv(Second, 5, ?PATIENCE)}.

owner_exits_with_data_queued(World) ->
    between_nodes(World,
        fun(Accepted) -> timer:sleep(300), recv_all(Accepted) end,
        fun(Socket) ->
            {Pid, Reference} = spawn_monitor(fun() -> receive go -> exit(gen_tcp:send(Socket, noise(3000000))) end end),
            ok = gen_tcp:controlling_process(Socket, Pid),
            Pid ! go,
            receive {'DOWN', Reference, process, Pid, Reason} -> Reason end
        end).

close_with_unread_data(World) ->
    {Client, Accepted} = ends(World, [], [{show_econnreset, true}]),
    ok = gen_tcp:send(Client, <<"never read">>),
    dg_judge:wait(fun() -> gen_tcp:recv(Accepted, 1, 100) =:= {ok, <<"n">>} end),
    {gen_tcp:close(Accepted), gen_tcp:recv(Client, 0, ?PATIENCE)}.

%% --- sending ---

%% Nobody reads, so that in the end nothing more can be sent.
fill(Socket, Data) ->
    case gen_tcp:send(Socket, Data) of
        ok -> fill(Socket, Data);
        Other -> Other
    end.

send_timeout(World) ->
    {Client, Accepted} = ends(World, [{recbuf, 8192}], [{send_timeout, 300}, {sndbuf, 8192}]),
    Outcome = dg_judge:timed(fun() -> case fill(Client, noise(100000)) of {error, {timeout, _}} -> {error, timeout}; O -> O end end),
    {Outcome, element(1, gen_tcp:recv(Accepted, 1000, ?PATIENCE)), inet:getopts(Client, [send_timeout, send_timeout_close])}.

send_timeout_close(World) ->
    {Client, _Accepted} = ends(World, [{recbuf, 8192}], [{send_timeout, 300}, {send_timeout_close, true}, {sndbuf, 8192}]),
    Outcome = case fill(Client, noise(100000)) of {error, {timeout, _}} -> {error, timeout}; Other -> Other end,
    {Outcome, gen_tcp:send(Client, <<"more">>), gen_tcp:recv(Client, 0, 500)}.

%% What only the port of the inet backend can tell.
busy_port(#{backend := socket}) -> has_no_port;
busy_port(World) ->
    {Client, Accepted} = ends(World, [{recbuf, 8192}], [{sndbuf, 8192}]),
    Watcher = self(),
    Before = erlang:system_monitor(self(), [busy_port]),
    Write = fun() -> receive go -> Watcher ! {self(), gen_tcp:send(Client, noise(1000000))} end end,
    [First, Second, Third] = [spawn(Write) || _ <- [1, 2, 3]],
    First ! go,
    dg_judge:wait(fun() -> erlang:port_info(Client, queue_size) > {queue_size, 0} end),
    Second ! go,
    dg_judge:wait(fun() -> erlang:port_info(Client, queue_size) > {queue_size, 1000000} end),
    Third ! go,
    Told = receive {monitor, Third, busy_port, Client} -> busy_port after ?PATIENCE -> not_told end,
    dg_judge:wait(fun() -> process_info(Third, status) =:= {status, suspended} end),
    NoSuspend = erlang:port_command(Client, <<"x">>, [nosuspend]),
    erlang:system_monitor(Before),
    {ok, Read} = gen_tcp:recv(Accepted, 3000000, 2 * ?PATIENCE),
    {Told, NoSuspend, erlang:crc32(Read), [receive {Writer, Sent} -> Sent after ?PATIENCE -> suspended end || Writer <- [First, Second, Third]]}.

delay_send(World) ->
    {Client, Accepted} = ends(World, [], [{delay_send, true}]),
    [ok = gen_tcp:send(Client, <<N:32>>) || N <- lists:seq(1, 1000)],
    ok = gen_tcp:close(Client),
    recv_all(Accepted).

watermarks(World) ->
    {Client, _} = ends(World, [], [{high_watermark, 20000}, {low_watermark, 10000}]),
    Told = dg_judge:outcome(fun() -> inet:getopts(Client, [high_watermark, low_watermark, high_msgq_watermark,
                                                           low_msgq_watermark]) end),
    {Told, inet:setopts(Client, [{high_watermark, 5000}]),
     dg_judge:outcome(fun() -> inet:getopts(Client, [high_watermark, low_watermark]) end)}.

%% --- options ---

buffers(World) ->
    {Client, Accepted} = ends(World, [{recbuf, 20000}], [{sndbuf, 30000}, {buffer, 5000}]),
    {inet:getopts(Client, [sndbuf, recbuf, buffer]), inet:getopts(Accepted, [sndbuf, recbuf, buffer]),
     inet:setopts(Client, [{recbuf, 40000}]), inet:getopts(Client, [recbuf, buffer])}.

-define(ALL_OPTIONS, [active, buffer, delay_send, deliver, dontroute, exit_on_close, header, high_watermark, keepalive,
                      linger, low_watermark, mode, nodelay, packet, packet_size, pktoptions, priority, recbuf, recvtos,
                      recvttl, reuseaddr, send_timeout, send_timeout_close, show_econnreset, sndbuf, tos, ttl,
                      bind_to_device, reuseport, exclusiveaddruse, line_delimiter, read_packets]).

%% All that a socket can tell of itself, before and after its first bytes.
all_options(Socket) ->
    [case dg_judge:outcome(fun() -> inet:getopts(Socket, [Option]) end) of
         {ok, [Told]} -> Told;
         {ok, []} -> {Option, none};
         Other -> {Option, Other}
     end || Option <- ?ALL_OPTIONS].

options(World) ->
    {Client, Accepted} = ends(World),
    Fresh = {all_options(Client), all_options(Accepted)},
    ok = gen_tcp:send(Client, <<"a byte or two">>),
    {ok, _} = gen_tcp:recv(Accepted, 0, ?PATIENCE),
    {Fresh, Fresh =:= {all_options(Client), all_options(Accepted)}}.

options_inherited(World) ->
    {_, Accepted} = ends(World, [{nodelay, true}, {keepalive, true}, {priority, 3}, {tos, 16}, {linger, {true, 2}},
                                 {packet, 4}, {send_timeout, 1234}, {sndbuf, 50000}, {recbuf, 50000}], []),
    all_options(Accepted).

options_refused(World) ->
    {Client, _} = ends(World),
    [dg_judge:outcome(fun() -> inet:setopts(Client, [Option]) end)
     || Option <- [{nodelay, maybe_so}, {packet, 3}, {priority, -1}, {unheard_of, 1}, {raw, 6, 1}, {active, 1.0},
                   {bind_to_device, <<"no-such-device">>}, {linger, {true, -1}}]].

raw_options(World) ->
    {Client, Accepted} = ends(World),
    NoDelay = {raw, 6, 1, <<1:32/native>>},
    {inet:getopts(Client, [{raw, 6, 1, 4}]), inet:setopts(Client, [NoDelay]), inet:getopts(Client, [{raw, 6, 1, 4}, nodelay]),
     %% The state in TCP_INFO: established.
     case inet:getopts(Accepted, [{raw, 6, 11, 1}]) of {ok, [{raw, 6, 11, State}]} -> State; Other -> Other end,
     inet:getopts(Client, [{raw, 6, 31, 16}]), inet:getopts(Client, [{raw, 1, 38, 4}]), inet:getopts(Client, [{raw, 1, 30, 4}])}.

names_of_ends(#{there := There} = World) ->
    between_nodes(World,
        fun(Accepted) -> {ok, {Address, _}} = inet:peername(Accepted), {ok, {Own, _}} = inet:sockname(Accepted),
                         {Address, Own, recv_all(Accepted)} end,
        fun(Socket) ->
            {ok, {Own, OwnPort}} = inet:sockname(Socket),
            {ok, {There, _}} = inet:peername(Socket),
            {ok, [{Own, OwnPort} | _]} = inet:socknames(Socket),
            {ok, OwnPort} = inet:port(Socket),
            gen_tcp:close(Socket),
            Own
        end).

names_after_close(World) ->
    {Client, Accepted} = ends(World),
    ok = gen_tcp:close(Client),
    dg_judge:wait(fun() -> gen_tcp:recv(Accepted, 0, 100) =:= {error, closed} end),
    [dg_judge:outcome(Fun) || Fun <- [
        fun() -> inet:sockname(Client) end, fun() -> inet:peername(Client) end, fun() -> inet:port(Client) end,
        fun() -> gen_tcp:send(Client, <<"x">>) end, fun() -> gen_tcp:recv(Client, 0) end,
        fun() -> inet:getstat(Client) end, fun() -> inet:setopts(Client, [{active, true}]) end,
        fun() -> gen_tcp:shutdown(Client, write) end, fun() -> gen_tcp:close(Client) end,
        fun() -> element(1, inet:sockname(Accepted)) end, fun() -> element(1, inet:peername(Accepted)) end,
        fun() -> gen_tcp:send(Accepted, <<"x">>) end]].

statistics(World) ->
    {Client, Accepted} = ends(World, [{packet, 2}], [{packet, 2}]),
    [begin ok = gen_tcp:send(Client, noise(Size)), {ok, _} = gen_tcp:recv(Accepted, 0, ?PATIENCE) end || Size <- [1, 100, 1000]],
    {inet:getstat(Client), inet:getstat(Accepted), inet:getstat(Client, [send_oct, recv_oct])}.

port_figures(#{backend := socket}) -> has_no_port;
port_figures(World) ->
    {Client, Accepted} = ends(World),
    ok = gen_tcp:send(Client, noise(1000)),
    {ok, _} = gen_tcp:recv(Accepted, 1000, ?PATIENCE),
    [{Port =:= Client, lists:keydelete(id, 1, erlang:port_info(Port)), erlang:port_info(Port, queue_size),
      erlang:port_info(Port, monitors), erlang:port_info(Port, parallelism), erlang:port_info(Port, memory)}
     || Port <- [Client, Accepted]].

controlling_process(World) ->
    {Client, Accepted} = ends(World),
    Self = self(),
    ok = gen_tcp:send(Client, <<"for the next owner">>),
    ok = inet:setopts(Accepted, [{active, true}]),
    timer:sleep(50),
    Next = spawn_link(fun() -> receive go -> Self ! {self(), dg_judge:heard(Accepted, ?PATIENCE)} end end),
    Given = gen_tcp:controlling_process(Accepted, Next),
    NotMine = gen_tcp:controlling_process(Accepted, self()),
    ok = gen_tcp:send(Client, <<", all of it">>),
    gen_tcp:close(Client),
    Next ! go,
    {Given, NotMine, receive {Next, Heard} -> Heard end}.

monitors(World) ->
    {Client, _} = ends(World),
    Reference = inet:monitor(Client),
    gen_tcp:close(Client),
    {receive {'DOWN', Reference, Kind, _, Why} -> {Kind, Why} after 2000 -> nothing end,
     receive {'DOWN', R, K, _, W} -> {K, W, R =:= inet:monitor(Client)} after 0 -> nothing end}.

%% A listening descriptor that another socket is made of.
descriptor_handed_over(World) ->
    {ok, Listener} = gen_tcp:listen(0, [{inet_backend, inet}, binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Descriptor} = inet:getfd(Listener),
    {ok, Port} = inet:port(Listener),
    case dg_judge:outcome(fun() -> listen(World, 0, [binary, {active, false}, {fd, Descriptor}]) end) of
        {ok, Second} ->
            inet:getopts(Listener, [reuseaddr]),
            {ok, Client} = connect(World, {127, 0, 0, 1}, Port, [binary, {active, false}]),
            {ok, Accepted} = gen_tcp:accept(Second, ?PATIENCE),
            ok = gen_tcp:send(Client, <<"through the second">>),
            {gen_tcp:recv(Accepted, 18, ?PATIENCE), element(1, inet:sockname(Second))};
        Other -> Other
    end.

%% --- connecting and accepting ---

connect_refused(#{there := There} = World) ->
    [dg_judge:timed(fun() -> connect(World, Address, 1, []) end) || Address <- [{127, 0, 0, 1}, There]].

connect_timeout(#{nowhere := Nowhere} = World) ->
    dg_judge:timed(fun() -> gen_tcp:connect(Nowhere, 4711, options(World, []), 200) end).

connect_from_an_address(#{here := Here} = World) ->
    {ok, Listener} = listen(World, 0, [{active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    {ok, Client} = connect(World, {127, 0, 0, 1}, Port, [{ip, Here}]),
    {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
    {ok, {Address, _}} = inet:peername(Accepted),
    {ok, {Own, OwnPort}} = inet:sockname(Client),
    {Address, Own, connect(World, {127, 0, 0, 1}, Port, [{ip, Here}, {port, OwnPort}]),
     connect(World, {127, 0, 0, 1}, Port, [{ip, {192, 0, 2, 1}}])}.

%% The address is given to the first as well: a port that connect finds may be one at which a connection of another case
%% still waits (TIME_WAIT), and the second could not bind it.
connect_twice(World) ->
    {ok, Listener} = listen(World, 0, [{active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    {ok, One} = connect(World, {127, 0, 0, 1}, Port, [{reuseaddr, true}, {ip, {127, 0, 0, 1}}]),
    {ok, {_, OwnPort}} = inet:sockname(One),
    connect(World, {127, 0, 0, 1}, Port, [{reuseaddr, true}, {ip, {127, 0, 0, 1}}, {port, OwnPort}]).

listen_twice(World) ->
    {ok, Listener} = listen(World, 0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    [listen(World, Port, [{ip, {127, 0, 0, 1}}]), listen(World, Port, [{ip, {127, 0, 0, 1}}, {reuseaddr, true}]),
     listen(World, Port, []), element(1, listen(World, Port, [{ip, {127, 0, 0, 2}}]))].

listen_elsewhere(#{nowhere := Nowhere} = World) ->
    [listen(World, 0, [{ip, Nowhere}]), dg_judge:outcome(fun() -> listen(World, 70000, []) end),
     dg_judge:outcome(fun() -> listen(World, 0, [{ip, {1, 2, 3}}]) end)].

accept_timeout(World) ->
    {ok, Listener} = listen(World, 0, [{ip, {127, 0, 0, 1}}]),
    [gen_tcp:accept(Listener, 0), dg_judge:timed(fun() -> gen_tcp:accept(Listener, 50) end)].

acceptors(World) ->
    {ok, Listener} = listen(World, 0, [binary, {packet, 1}, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    Self = self(),
    [spawn_link(fun() ->
        {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
        Self ! {served, gen_tcp:recv(Accepted, 0, ?PATIENCE)}
     end) || _ <- lists:seq(1, 5)],
    Clients = [begin {ok, C} = connect(World, {127, 0, 0, 1}, Port, [{packet, 1}]), C end || _ <- lists:seq(1, 5)],
    [ok = gen_tcp:send(Client, <<N>>) || {Client, N} <- lists:zip(Clients, lists:seq(1, 5))],
    lists:sort([receive {served, What} -> What after ?PATIENCE -> timeout end || _ <- Clients]).

listener_closed(World) ->
    {ok, Listener} = listen(World, 0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    Self = self(),
    Waiting = spawn_link(fun() -> Self ! {self(), gen_tcp:accept(Listener)} end),
    timer:sleep(100),
    ok = gen_tcp:close(Listener),
    {receive {Waiting, Outcome} -> Outcome after ?PATIENCE -> still_waiting end, gen_tcp:accept(Listener, 10),
     connect(World, {127, 0, 0, 1}, Port, [])}.

backlog(World) ->
    {ok, Listener} = listen(World, 0, [{ip, {127, 0, 0, 1}}, {backlog, 2}, {active, false}]),
    {ok, Port} = inet:port(Listener),
    Connected = [gen_tcp:connect({127, 0, 0, 1}, Port, options(World, []), 300) || _ <- lists:seq(1, 5)],
    {[case C of {ok, _} -> ok; _ -> C end || C <- Connected],
     [element(1, gen_tcp:accept(Listener, 500)) || _ <- [1, 2, 3]]}.

both_families(World) ->
    {ok, Listener} = listen(World, 0, [inet6, binary, {active, false}, {ipv6_v6only, false}]),
    {ok, Port} = inet:port(Listener),
    Both = [begin
        {ok, Client} = connect(World, Address, Port, [Family, binary, {active, false}]),
        {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
        {ok, {Seen, _}} = inet:peername(Accepted),
        ok = gen_tcp:send(Client, <<"six and four">>),
        {Seen, gen_tcp:recv(Accepted, 0, ?PATIENCE)}
     end || {Family, Address} <- [{inet, {127, 0, 0, 1}}, {inet6, {0, 0, 0, 0, 0, 0, 0, 1}}]],
    {ok, Six} = listen(World, 0, [inet6, {ipv6_v6only, true}]),
    {ok, SixPort} = inet:port(Six),
    {Both, inet:getopts(Six, [ipv6_v6only]), connect(World, {127, 0, 0, 1}, SixPort, [inet])}.

local_stream(#{dir := Dir, backend := Backend} = World) ->
    Path = filename:join(Dir, "local-" ++ atom_to_list(Backend)),
    file:delete(Path),
    local(World, {local, Path}, filename:basename(Path)).

abstract(#{backend := Backend} = World) ->
    local(World, {local, <<0, "judge-", (atom_to_binary(Backend))/binary>>}, abstract).

local(World, Address, Name) ->
    {ok, Listener} = listen(World, 0, [binary, {active, false}, {ifaddr, Address}]),
    {ok, Client} = connect(World, Address, 0, [binary, {active, false}]),
    {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
    ok = gen_tcp:send(Client, noise(100000)),
    gen_tcp:shutdown(Client, write),
    Read = recv_all(Accepted),
    Names = [case dg_judge:outcome(F) of {ok, Address} -> its_address; Other -> Other end
             || F <- [fun() -> inet:sockname(Listener) end, fun() -> inet:peername(Client) end, fun() -> inet:sockname(Client) end]],
    {Name, Read, Names, connect(World, {local, "/nonexistent/socket"}, 0, [])}.

%% Sockets in a network namespace that is named by a path: here our own.
another_network(World) ->
    case dg_judge:outcome(fun() -> listen(World, 0, [{ip, {127, 0, 0, 1}}, {netns, "/proc/self/ns/net"}, {active, false}]) end) of
        {ok, Listener} ->
            {ok, Port} = inet:port(Listener),
            {ok, Client} = connect(World, {127, 0, 0, 1}, Port, [binary, {netns, "/proc/self/ns/net"}]),
            {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
            ok = gen_tcp:send(Client, <<"around the corner">>),
            {gen_tcp:recv(Accepted, 17, ?PATIENCE), inet:getopts(Client, [netns])};
        Other -> Other
    end.

device(World) ->
    {ok, Listener} = listen(World, 0, [binary, {active, false}, {bind_to_device, <<"lo">>}]),
    {ok, Port} = inet:port(Listener),
    {ok, Client} = connect(World, {127, 0, 0, 1}, Port, [binary, {active, false}, {bind_to_device, <<"lo">>}]),
    {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
    ok = gen_tcp:send(Client, <<"bound">>),
    {gen_tcp:recv(Accepted, 5, ?PATIENCE), inet:getopts(Client, [bind_to_device])}.

by_name(#{backend := socket}) -> not_asked;    % OTP 25 takes no host name with it
by_name(World) ->
    {ok, Listener} = listen(World, 0, [binary, {active, false}]),
    {ok, Port} = inet:port(Listener),
    {element(1, connect(World, "localhost", Port, [])), connect(World, "no.such.name.lab", Port, []),
     element(1, connect(World, localhost, Port, [inet])), element(1, connect(World, any, Port, []))}.

%% --- much of it ---

much_data(World) ->
    Data = noise(5000000),
    between_nodes(World,
        fun(Accepted) -> {ok, Received} = gen_tcp:recv(Accepted, 5000000, 3 * ?PATIENCE),
                         {gen_tcp:send(Accepted, Received), erlang:crc32(Received), gen_tcp:close(Accepted)} end,
        fun(Socket) -> {gen_tcp:send(Socket, Data), recv_all(Socket)} end).

both_ways_at_once(World) ->
    Both = fun(Socket) ->
        Self = self(),
        Sender = spawn_link(fun() -> Self ! {self(), [gen_tcp:send(Socket, noise(50000)) || _ <- lists:seq(1, 40)]} end),
        {ok, Data} = gen_tcp:recv(Socket, 2000000, 3 * ?PATIENCE),
        {erlang:crc32(Data), receive {Sender, Sent} -> lists:usort(Sent) end}
    end,
    between_nodes(World, Both, Both).

sendfile(#{dir := Dir, backend := Backend} = World) ->
    Path = filename:join(Dir, "sendfile-" ++ atom_to_list(Backend)),
    ok = file:write_file(Path, noise(500000)),
    [begin
        {Client, Accepted} = ends(World),
        Self = self(),
        Reader = spawn_link(fun() -> receive go -> Self ! {self(), recv_all(Accepted)} end end),
        ok = gen_tcp:controlling_process(Accepted, Reader),
        Reader ! go,
        {ok, File} = file:open(Path, [read, raw, binary]),
        Sent = file:sendfile(File, Client, Offset, Bytes, Options),
        gen_tcp:close(Client),
        {Sent, receive {Reader, Read} -> Read end, file:position(File, cur)}
     end || {Offset, Bytes, Options} <- [{0, 0, []}, {1000, 77777, []}, {499000, 5000, []}, {0, 0, [{chunk_size, 4096}]}]].

many_connections(World) ->
    {ok, Listener} = listen(World, 0, [binary, {packet, 1}, {active, false}, {ip, {127, 0, 0, 1}}, {backlog, 100}]),
    {ok, Port} = inet:port(Listener),
    Before = length(element(2, file:list_dir("/proc/self/fd"))),
    Answers = [begin
        {ok, Client} = connect(World, {127, 0, 0, 1}, Port, [binary, {packet, 1}, {active, false}]),
        {ok, Accepted} = gen_tcp:accept(Listener, ?PATIENCE),
        ok = gen_tcp:send(Client, <<N:32>>),
        {ok, <<N:32>>} = gen_tcp:recv(Accepted, 0, ?PATIENCE),
        gen_tcp:close(Client),
        {error, closed} = gen_tcp:recv(Accepted, 0, ?PATIENCE),
        gen_tcp:close(Accepted)
     end || N <- lists:seq(1, 300)],
    %% The socket module closes on another thread.
    {lists:usort(Answers), dg_judge:outcome(fun() ->
        dg_judge:wait(fun() -> abs(length(element(2, file:list_dir("/proc/self/fd"))) - Before) =< 3 end)
    end)}.

%% Two who read from one socket at once, and one who is killed while it reads.
select_pending(World) ->
    {Client, Accepted} = ends(World),
    Self = self(),
    Readers = [spawn(fun() -> Self ! {self(), gen_tcp:recv(Accepted, 3, 3000)} end) || _ <- [1, 2]],
    timer:sleep(100),
    Third = spawn(fun() -> gen_tcp:recv(Accepted, 3, 3000) end),
    timer:sleep(50),
    exit(Third, kill),
    timer:sleep(50),
    ok = gen_tcp:send(Client, <<"onetwo">>),
    lists:sort([receive {Reader, Read} -> Read after 4000 -> nothing end || Reader <- Readers]).

%% The driver has no way to send it; what it does with it, if raw options ask for it inline.
out_of_band(World) ->
    {Client, Accepted} = ends(World, [{raw, 1, 10, <<1:32/native>>}], []),
    {inet:getopts(Accepted, [{raw, 1, 10, 4}]), gen_tcp:send(Client, <<"x">>), gen_tcp:recv(Accepted, 1, ?PATIENCE)}.

error_texts(_) ->
    [inet:format_error(Reason) || Reason <- [closed, timeout, econnrefused, eacces, eaddrnotavail, enotconn, einval, emfile]].
