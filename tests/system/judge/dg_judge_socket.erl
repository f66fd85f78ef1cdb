%% The socket module as an application has it: every way of sending and receiving that it knows, on sockets of its own.
-module(dg_judge_socket).
-export([stream/1, stream_by_message/1, vectors/1, peeking/1, waiting_all/1, out_of_band/1, timeouts/1, nowait/1,
         cancelled/1, many_at_once/1, ends/1, resets/1, refused/1, connect_nowait/1, accept_nowait/1, options/1,
         timestamps/1, credentials/1, error_queue/1, datagrams/1, connected_datagrams/1, truncated_datagrams/1,
         ancillary/1, local_datagrams/1, sequenced_packets/1, raw_descriptor/1, duplicate/1, sendfile/1, figures/1,
         names/1, six/1, monitors/1, owner_dies/1, ioctls/1, supported/1, debugging/1, large/1, accepted_in_peer/1]).

-define(PATIENCE, 10000).
-define(LOOPBACK, #{family => inet, addr => {127, 0, 0, 1}, port => 0}).

listener() -> listener(?LOOPBACK).

listener(Address) ->
    {ok, Listener} = socket:open(maps:get(family, Address), stream, tcp),
    ok = socket:setopt(Listener, socket, reuseaddr, true),
    ok = socket:bind(Listener, Address),
    ok = socket:listen(Listener),
    {ok, Bound} = socket:sockname(Listener),
    {Listener, Bound}.

pair() ->
    {Listener, Address} = listener(),
    {ok, Client} = socket:open(inet, stream, tcp),
    ok = socket:connect(Client, Address, ?PATIENCE),
    {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
    socket:close(Listener),
    {Client, Accepted}.

datagram(Address) ->
    {ok, Socket} = socket:open(maps:get(family, Address), dgram, udp),
    ok = socket:bind(Socket, Address),
    {ok, Bound} = socket:sockname(Socket),
    {Socket, Bound}.

noise(Size) -> binary:part(binary:copy(<< <<(erlang:phash2(N)):32>> || N <- lists:seq(1, 5000) >>, Size div 20000 + 1), 0, Size).

%% A call that this OTP may not have.
if_there(Function, Arity, Fun) ->
    code:ensure_loaded(socket),
    case erlang:function_exported(socket, Function, Arity) of
        true -> dg_judge:outcome(Fun);
        false -> not_in_this_otp
    end.

%% A message's parts that are the same in every run.
plain({ok, #{iov := Iov} = Message}) ->
    {ok, iolist_to_binary(Iov), maps:get(flags, Message, []), [{L, T, byte_size(D)} || #{level := L, type := T, data := D} <- maps:get(ctrl, Message, [])]};
plain(Other) -> Other.

select({select, {select_info, Tag, _}}) -> {select, Tag};
select({select, {{select_info, Tag, _}, Rest}}) -> {select, Tag, byte_size(Rest) > 0};
select({completion, _}) -> completion;
select(Other) -> Other.

%% --- streams ---

stream(_) ->
    {Client, Accepted} = pair(),
    {socket:send(Client, <<"one">>), socket:recv(Accepted, 3, ?PATIENCE), socket:send(Accepted, [<<"tw">>, "o"]),
     socket:recv(Client, 0, ?PATIENCE), socket:shutdown(Client, write), socket:recv(Accepted, 0, ?PATIENCE),
     socket:send(Accepted, <<"three">>), socket:recv(Client, 5, ?PATIENCE), socket:close(Accepted), socket:recv(Client, 0, ?PATIENCE),
     socket:close(Client), socket:close(Client)}.

stream_by_message(_) ->
    {Client, Accepted} = pair(),
    {socket:sendmsg(Client, #{iov => [<<"he">>, <<>>, <<"llo">>]}), plain(socket:recvmsg(Accepted, 0, 0, [], ?PATIENCE)),
     socket:sendmsg(Client, #{iov => [noise(1000)], ctrl => []}), plain(socket:recvmsg(Accepted, 400, 0, [], ?PATIENCE)),
     plain(socket:recvmsg(Accepted, 600, 100, [], ?PATIENCE)), socket:sendto(Client, <<"to">>, ?LOOPBACK),
     case socket:recvfrom(Accepted, 2, [], ?PATIENCE) of {ok, {_, Data}} -> Data; Other -> Other end}.

vectors(_) ->
    {Client, Accepted} = pair(),
    {if_there(sendv, 2, fun() -> socket:sendv(Client, [<<"a">>, <<"b">>, <<>>, noise(5000)]) end),
     if_there(sendv, 2, fun() -> {ok, Data} = socket:recv(Accepted, 5002, ?PATIENCE), erlang:crc32(Data) end),
     if_there(sendv, 2, fun() -> socket:sendv(Client, [noise(1) || _ <- lists:seq(1, 3000)]) end),
     if_there(sendv, 2, fun() -> {ok, Data} = socket:recv(Accepted, 3000, ?PATIENCE), erlang:crc32(Data) end),
     if_there(recvmmsg, 1, fun() -> there end)}.

peeking(_) ->
    {Client, Accepted} = pair(),
    ok = socket:send(Client, <<"peek and see">>),
    {socket:recv(Accepted, 4, [peek], ?PATIENCE), socket:recv(Accepted, 4, [peek], ?PATIENCE), socket:recv(Accepted, 12, [], ?PATIENCE),
     plain(socket:recvmsg(Accepted, 0, 0, [peek], 50))}.

waiting_all(_) ->
    {Client, Accepted} = pair(),
    Self = self(),
    Reader = spawn_link(fun() -> Self ! {self(), dg_judge:outcome(fun() -> socket:recv(Accepted, 6, [waitall], ?PATIENCE) end)} end),
    ok = socket:send(Client, <<"abc">>),
    timer:sleep(50),
    ok = socket:send(Client, <<"def">>),
    receive {Reader, Read} -> Read after ?PATIENCE -> timeout end.

out_of_band(_) ->
    {Client, Accepted} = pair(),
    Early = socket:recv(Accepted, 1, [oob], 0),
    ok = socket:send(Client, <<"x">>, [oob]),
    timer:sleep(50),
    First = socket:recv(Accepted, 1, [oob], 1000),
    ok = socket:send(Client, <<"inline">>, [more]),
    ok = socket:send(Client, <<" and out">>),
    {Early, First, socket:recv(Accepted, 14, ?PATIENCE)}.

timeouts(_) ->
    {Client, Accepted} = pair(),
    First = socket:recv(Accepted, 0, 0),
    Second = dg_judge:timed(fun() -> socket:recv(Accepted, 10, 50) end),
    ok = socket:send(Client, <<"some">>),
    timer:sleep(20),
    Third = socket:recv(Accepted, 10, 50),
    Full = fun Fill() -> case socket:send(Client, noise(1000000), 100) of ok -> Fill(); {error, {timeout, _}} -> {error, timeout}; O -> O end end,
    {First, Second, Third, Full()}.

nowait(_) ->
    {Client, Accepted} = pair(),
    {select, {select_info, _, Handle} = Info} = socket:recv(Accepted, 0, [], nowait),
    ok = socket:send(Client, <<"ready">>),
    Told = receive {'$socket', Accepted, select, Handle} -> select after ?PATIENCE -> nothing end,
    {select({select, Info}), Told, socket:recv(Accepted, 0, [], nowait), select(socket:recv(Accepted, 0, [], nowait)),
     case dg_judge:outcome(fun() -> socket:send(Client, noise(20000000), [], nowait) end) of
         {ok, Rest} when is_binary(Rest) -> part;
         Sent -> select(Sent)
     end}.

cancelled(_) ->
    {Client, Accepted} = pair(),
    {select, Info} = socket:recv(Accepted, 0, [], nowait),
    Cancelled = socket:cancel(Accepted, Info),
    ok = socket:send(Client, <<"late">>),
    {Cancelled, receive {'$socket', _, What, _} -> What after 200 -> nothing end, socket:recv(Accepted, 0, ?PATIENCE),
     socket:cancel(Accepted, Info)}.

%% Several readers and several writers of one socket.
many_at_once(_) ->
    {Client, Accepted} = pair(),
    Self = self(),
    Readers = [spawn_link(fun() -> Self ! {self(), socket:recv(Accepted, 100000, ?PATIENCE)} end) || _ <- lists:seq(1, 5)],
    timer:sleep(50),
    Writers = [spawn_link(fun() -> Self ! {self(), socket:send(Client, binary:copy(<<N>>, 100000), ?PATIENCE)} end) || N <- lists:seq(1, 5)],
    {[receive {W, Sent} -> Sent after ?PATIENCE -> timeout end || W <- Writers],
     [receive {R, {ok, Data}} -> byte_size(Data); {R, Other} -> Other after ?PATIENCE -> timeout end || R <- Readers]}.

ends(_) ->
    {Client, Accepted} = pair(),
    Self = self(),
    Reader = spawn_link(fun() -> Self ! {self(), socket:recv(Accepted, 0, ?PATIENCE)} end),
    timer:sleep(50),
    Closed = socket:close(Accepted),
    {Closed, receive {Reader, Read} -> Read after ?PATIENCE -> timeout end, socket:recv(Client, 0, ?PATIENCE),
     dg_judge:outcome(fun() -> socket:recv(Accepted, 0, 10) end), dg_judge:outcome(fun() -> socket:sockname(Accepted) end)}.

%% The peer resets the connection, after a byte or without one; then in this order: what the other end does.
resets(_) ->
    Receive = fun(S) -> socket:recv(S, 0, ?PATIENCE) end,
    Send = fun(S) -> socket:send(S, <<"y">>) end,
    Ask = fun(S) -> socket:getopt(S, socket, error) end,
    [begin
        {Client, Accepted} = pair(),
        [ok = socket:send(Client, <<"x">>) || After =:= a_byte],
        [{ok, <<"x">>} = socket:recv(Accepted, 1, ?PATIENCE) || After =:= a_byte],
        ok = socket:setopt(Client, socket, linger, #{onoff => true, linger => 0}),
        ok = socket:close(Client),
        {ok, Closed} = {ok, dg_judge:outcome(fun() -> dg_judge:wait(fun() -> is_reset(Accepted) end) end)},
        {After, Closed, [What(Accepted) || What <- Order]}
     end || After <- [nothing, a_byte], Order <- [[Receive, Receive, Send, Ask], [Ask, Receive], [Send, Receive, Send], [Send, Ask]]].

%% The state in TCP_INFO: closed.
is_reset(Socket) ->
    {ok, Descriptor} = socket:getopt(Socket, otp, fd),
    {ok, Link} = file:read_link("/proc/self/fd/" ++ integer_to_list(Descriptor)),
    {match, [Inode]} = re:run(Link, "[0-9]+", [{capture, first, binary}]),
    {ok, Table} = file:read_file("/proc/self/net/tcp"),
    [] =:= [Line || Line <- binary:split(Table, <<"\n">>, [global]), lists:member(Inode, binary:split(Line, <<" ">>, [global]))].

refused(#{there := There}) ->
    [begin
        {ok, Socket} = socket:open(inet, stream, tcp),
        {socket:connect(Socket, #{family => inet, addr => Address, port => 1}, ?PATIENCE), socket:send(Socket, <<"x">>),
         socket:recv(Socket, 0, 100), socket:getopt(Socket, socket, error)}
     end || Address <- [{127, 0, 0, 1}, There]].

connect_nowait(_) ->
    {Listener, Address} = listener(),
    {ok, Client} = socket:open(inet, stream, tcp),
    Begun = socket:connect(Client, Address, nowait),
    case Begun of
        {select, {select_info, _, Handle}} -> receive {'$socket', Client, select, Handle} -> ok after ?PATIENCE -> timeout end;
        ok -> ok
    end,
    {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
    Done = case Begun of ok -> ok; _ -> socket:connect(Client) end,
    {Done, socket:send(Client, <<"x">>), socket:recv(Accepted, 1, ?PATIENCE), socket:connect(Client, Address, 100)}.

accept_nowait(_) ->
    {Listener, Address} = listener(),
    Begun = socket:accept(Listener, nowait),
    {ok, Client} = socket:open(inet, stream, tcp),
    ok = socket:connect(Client, Address),
    {select, {select_info, _, Handle}} = Begun,
    Told = receive {'$socket', Listener, select, Handle} -> ready after ?PATIENCE -> timeout end,
    {ok, Accepted} = socket:accept(Listener, nowait),
    {Told, socket:send(Client, <<"x">>), socket:recv(Accepted, 1, ?PATIENCE), select(socket:accept(Listener, nowait)),
     dg_judge:timed(fun() -> socket:accept(Listener, 50) end)}.

%% --- options ---

options(_) ->
    {Client, Accepted} = pair(),
    Names = [{socket, N} || N <- [acceptconn, broadcast, debug, domain, dontroute, error, keepalive, linger, mark, oobinline,
                                  passcred, peek_off, priority, protocol, rcvbuf, rcvlowat, rcvtimeo, reuseaddr, reuseport,
                                  sndbuf, sndlowat, sndtimeo, timestamp, type, bindtodevice, peercred]] ++
            [{tcp, N} || N <- [congestion, cork, keepcnt, keepidle, keepintvl, maxseg, nodelay, user_timeout]] ++
            [{ip, N} || N <- [freebind, hdrincl, minttl, mtu_discover, pktinfo, recverr, recvtos, recvttl, tos, transparent, ttl]],
    All = fun(Socket) -> [{Name, dg_judge:outcome(fun() -> socket:getopt(Socket, Name) end)} || Name <- Names] end,
    Fresh = {All(Client), All(Accepted)},
    ok = socket:send(Client, <<"x">>),
    {ok, _} = socket:recv(Accepted, 1, ?PATIENCE),
    {Fresh, Fresh =:= {All(Client), All(Accepted)}, socket:setopt(Client, {tcp, cork}, true), socket:getopt(Client, {tcp, cork}),
     socket:setopt(Client, {socket, rcvbuf}, 30000), socket:getopt(Client, {socket, rcvbuf}),
     if_there(getopt_native, 3, fun() -> socket:getopt_native(Client, {6, 1}, integer) end),
     if_there(setopt_native, 3, fun() -> socket:setopt_native(Client, {6, 1}, <<1:32/native>>) end)}.

timestamps(_) ->
    {Client, Accepted} = pair(),
    Set = socket:setopt(Accepted, socket, timestamp, true),
    {Set, stamped(Client, Accepted, 100)}.

%% The kernel begins to stamp packets a moment after the first socket asks for it (net_enable_timestamp, by a work queue).
stamped(Client, Accepted, Tries) ->
    ok = socket:send(Client, <<"when">>),
    case plain(socket:recvmsg(Accepted, 4, 200, [], ?PATIENCE)) of
        {ok, <<"when">>, [], []} when Tries > 1 ->
            timer:sleep(10),
            stamped(Client, Accepted, Tries - 1);
        Received ->
            Received
    end.

credentials(#{dir := Dir}) ->
    Path = filename:join(Dir, "credentials"),
    file:delete(Path),
    {ok, Listener} = socket:open(local, stream, default),
    ok = socket:bind(Listener, #{family => local, path => Path}),
    ok = socket:listen(Listener),
    {ok, Client} = socket:open(local, stream, default),
    ok = socket:connect(Client, #{family => local, path => Path}, ?PATIENCE),
    {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
    Set = socket:setopt(Accepted, socket, passcred, true),
    ok = socket:send(Client, <<"who">>),
    {Set, plain(socket:recvmsg(Accepted, 3, 200, [], ?PATIENCE))}.

error_queue(_) ->
    {Client, Accepted} = pair(),
    ok = socket:setopt(Accepted, ip, recverr, true),
    Empty = socket:recvmsg(Accepted, 0, 0, [errqueue], 0),
    ok = socket:send(Client, <<"x">>),
    {Empty, socket:recv(Accepted, 1, ?PATIENCE)}.

%% --- datagrams and others ---

datagrams(_) ->
    {One, _} = datagram(?LOOPBACK),
    {Other, Address} = datagram(?LOOPBACK),
    {socket:sendto(One, <<"first">>, Address), socket:sendto(One, <<>>, Address), socket:sendmsg(One, #{addr => Address, iov => [<<"th">>, <<"ird">>]}),
     [case socket:recvfrom(Other, 0, [], ?PATIENCE) of {ok, {_, Data}} -> Data; E -> E end || _ <- [1, 2, 3]],
     socket:recvfrom(Other, 0, [], 0)}.

connected_datagrams(_) ->
    {One, _} = datagram(?LOOPBACK),
    {Other, Address} = datagram(?LOOPBACK),
    ok = socket:connect(One, Address),
    Sent = socket:send(One, <<"connected">>),
    Read = socket:recv(Other, 0, ?PATIENCE),
    ok = socket:close(Other),
    Lost = socket:send(One, <<"nobody">>),
    timer:sleep(50),
    {Sent, Read, Lost, socket:recv(One, 0, 100), element(1, socket:peername(One))}.

truncated_datagrams(_) ->
    {One, _} = datagram(?LOOPBACK),
    {Other, Address} = datagram(?LOOPBACK),
    [ok = socket:sendto(One, noise(1000), Address) || _ <- [1, 2]],
    {case socket:recvfrom(Other, 10, [], ?PATIENCE) of {ok, {_, Data}} -> Data; E -> E end,
     plain(socket:recvmsg(Other, 10, 0, [], ?PATIENCE)), socket:sendto(One, noise(70000), Address)}.

ancillary(_) ->
    {One, _} = datagram(?LOOPBACK),
    {Other, Address} = datagram(?LOOPBACK),
    [ok = socket:setopt(Other, ip, Option, true) || Option <- [recvtos, recvttl, pktinfo]],
    ok = socket:setopt(One, ip, tos, 16#10),
    ok = socket:sendto(One, <<"marked">>, Address),
    {plain(socket:recvmsg(Other, 0, 500, [], ?PATIENCE)),
     dg_judge:outcome(fun() -> socket:sendmsg(One, #{addr => Address, iov => [<<"x">>], ctrl => [#{level => ip, type => tos, value => 8}]}) end),
     plain(socket:recvmsg(Other, 0, 500, [], ?PATIENCE))}.

local_datagrams(#{dir := Dir}) ->
    Paths = [filename:join(Dir, Name) || Name <- ["datagram-one", "datagram-other"]],
    [One, Other] = [begin
        file:delete(Path),
        {ok, Socket} = socket:open(local, dgram, default),
        ok = socket:bind(Socket, #{family => local, path => Path}),
        Socket
    end || Path <- Paths],
    ok = socket:sendto(One, <<"local">>, #{family => local, path => lists:last(Paths)}),
    {ok, {#{path := From}, Data}} = socket:recvfrom(Other, 0, [], ?PATIENCE),
    {filename:basename(From), Data}.

sequenced_packets(#{dir := Dir}) ->
    Path = filename:join(Dir, "packets"),
    file:delete(Path),
    {ok, Listener} = socket:open(local, seqpacket, default),
    ok = socket:bind(Listener, #{family => local, path => Path}),
    ok = socket:listen(Listener),
    {ok, Client} = socket:open(local, seqpacket, default),
    ok = socket:connect(Client, #{family => local, path => Path}, ?PATIENCE),
    {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
    [ok = socket:send(Client, Data) || Data <- [<<"one">>, <<"two">>]],
    [socket:recv(Accepted, 0, ?PATIENCE) || _ <- [1, 2]].

%% --- the rest ---

raw_descriptor(_) ->
    {Client, Accepted} = pair(),
    {ok, Descriptor} = socket:getopt(Client, otp, fd),
    {is_integer(Descriptor), element(1, socket:getopt(Accepted, otp, rcvbuf)), socket:getopt(Accepted, otp, controlling_process) =:= {ok, self()}}.

%% A second socket made of a duplicate of the descriptor: what one sends the other could have sent.
duplicate(_) ->
    {Client, Accepted} = pair(),
    {ok, Descriptor} = socket:getopt(Client, otp, fd),
    case dg_judge:outcome(fun() -> socket:open(Descriptor, #{dup => true}) end) of
        {ok, Twin} ->
            ok = socket:send(Client, <<"one ">>),
            ok = socket:send(Twin, <<"twin">>),
            ok = socket:close(Client),
            {ok, Both} = socket:recv(Accepted, 8, ?PATIENCE),
            ok = socket:send(Accepted, <<"answer">>),
            {Both, socket:recv(Twin, 6, ?PATIENCE), socket:close(Twin), socket:recv(Accepted, 0, ?PATIENCE)};
        Other -> Other
    end.

sendfile(#{dir := Dir}) ->
    Path = filename:join(Dir, "socket-sendfile"),
    ok = file:write_file(Path, noise(300000)),
    if_there(sendfile, 5, fun() ->
        {Client, Accepted} = pair(),
        {ok, File} = file:open(Path, [read, raw, binary]),
        Self = self(),
        Reader = spawn_link(fun() -> {ok, Data} = socket:recv(Accepted, 250000, ?PATIENCE), Self ! {self(), erlang:crc32(Data)} end),
        Sent = socket:sendfile(Client, File, 50000, 0, ?PATIENCE),
        {Sent, receive {Reader, Sum} -> Sum after ?PATIENCE -> timeout end}
    end).

figures(_) ->
    {Client, Accepted} = pair(),
    ok = socket:send(Client, noise(100)),
    {ok, _} = socket:recv(Accepted, 100, ?PATIENCE),
    [maps:with([counters, domain, type, protocol, rstates, wstates], socket:info(Socket)) || Socket <- [Client, Accepted]].

names(#{here := Here}) ->
    {Listener, Address} = listener(#{family => inet, addr => Here, port => 0}),
    {ok, Client} = socket:open(inet, stream, tcp),
    Unbound = {element(2, socket:sockname(Client)), socket:peername(Client)},
    ok = socket:connect(Client, Address),
    {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
    {ok, Own} = socket:sockname(Client),
    {Unbound, socket:peername(Accepted) =:= {ok, Own}, socket:peername(Client) =:= {ok, Address}, maps:get(addr, Own),
     socket:sockname(Accepted) =:= {ok, Address}}.

six(_) ->
    {Listener, Address} = listener(#{family => inet6, addr => {0, 0, 0, 0, 0, 0, 0, 1}, port => 0}),
    {ok, Client} = socket:open(inet6, stream, tcp),
    ok = socket:connect(Client, Address),
    {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
    ok = socket:send(Client, <<"six">>),
    {socket:recv(Accepted, 3, ?PATIENCE), socket:getopt(Accepted, ipv6, v6only), socket:getopt(Accepted, ipv6, unicast_hops)}.

monitors(_) ->
    {Client, _} = pair(),
    if_there(monitor, 1, fun() ->
        Reference = socket:monitor(Client),
        socket:close(Client),
        receive {'DOWN', Reference, socket, _, Why} -> Why after ?PATIENCE -> nothing end
    end).

owner_dies(_) ->
    {Listener, Address} = listener(),
    spawn(fun() -> {ok, Client} = socket:open(inet, stream, tcp), ok = socket:connect(Client, Address), ok = socket:send(Client, <<"last">>) end),
    {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
    {socket:recv(Accepted, 4, ?PATIENCE), socket:recv(Accepted, 0, ?PATIENCE)}.

ioctls(_) ->
    {Client, Accepted} = pair(),
    ok = socket:send(Client, <<"waiting">>),
    timer:sleep(50),
    [if_there(ioctl, 2, fun() -> socket:ioctl(Accepted, Request) end) || Request <- [nread, nspace, atmark]] ++
    [if_there(ioctl, 3, fun() -> socket:ioctl(Client, gifflags, "lo") end), if_there(ioctl, 2, fun() ->
        {ok, Interfaces} = socket:ioctl(Client, gifconf), length(Interfaces) end)].

supported(_) -> {lists:sort([K || {K, true} <- socket:supports()]), socket:is_supported(msg_flags, peek), socket:is_supported(sendfile)}.

debugging(_) ->
    Number = socket:number_of(),
    {Client, Accepted} = pair(),
    More = socket:number_of() - Number,
    [socket:close(S) || S <- [Client, Accepted]],
    {More, is_map(socket:info()), [dg_judge:outcome(fun() -> socket:open(Domain, Type, Protocol) end) || {Domain, Type, Protocol} <- [
        {inet, stream, sctp}, {nonsense, stream, tcp}, {inet, raw, 400}]] =/= []}.

large(_) ->
    {Client, Accepted} = pair(),
    Data = noise(5000000),
    Sender = spawn_link(fun() -> receive go -> ok end, ok = socket:send(Client, Data, 3 * ?PATIENCE) end),
    Sender ! go,
    {ok, Read} = socket:recv(Accepted, 5000000, 3 * ?PATIENCE),
    erlang:crc32(Read).

%% A server in the other VM.
accepted_in_peer(#{there := There} = World) ->
    dg_judge:connected(World),
    Self = self(),
    Server = spawn(maps:get(peer, World), fun() ->
        {Listener, Address} = listener(#{family => inet, addr => There, port => 0}),
        Self ! {self(), Address},
        {ok, Accepted} = socket:accept(Listener, ?PATIENCE),
        First = plain(socket:recvmsg(Accepted, 0, 0, [], ?PATIENCE)),
        ok = socket:send(Accepted, noise(100000)),
        Self ! {self(), First, socket:recv(Accepted, 0, ?PATIENCE)}
    end),
    Address = receive {Server, A} -> A after ?PATIENCE -> exit(nobody_there) end,
    {ok, Client} = socket:open(inet, stream, tcp),
    ok = socket:connect(Client, Address, ?PATIENCE),
    ok = socket:send(Client, <<0, 3, "Nab">>),
    {ok, Data} = socket:recv(Client, 100000, ?PATIENCE),
    ok = socket:close(Client),
    {erlang:crc32(Data), receive {Server, First, Last} -> {First, Last} after ?PATIENCE -> timeout end}.
