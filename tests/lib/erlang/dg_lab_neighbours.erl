%% What else goes on in a VM that has distribution: each function does something with sockets, files or programs and tells
%% what came of it, in words that are the same on every run.
-module(dg_lab_neighbours).
-export([http_server/2, http_client/1, tls_server/3, tls_client/2, udp/0, local_stream/1, local_datagram/1, tcp/0,
         file/1, commands/0, resolver/1, port_program/0]).

-define(PATIENCE, 10000).

%% An HTTP server on all addresses; serves what is in Dir.
http_server(Dir, Port) ->
    {ok, _} = application:ensure_all_started(inets),
    ok = file:write_file(filename:join(Dir, "page.txt"), lists:duplicate(20000, "all is well\n")),
    {ok, _} = inets:start(httpd, [{port, Port}, {server_name, "lab"}, {server_root, Dir}, {document_root, Dir},
                                  {bind_address, any}]),
    ok.

http_client(Url) ->
    {ok, _} = application:ensure_all_started(inets),
    {ok, {{_, Status, _}, _, Body}} = httpc:request(get, {Url, []}, [{timeout, ?PATIENCE}], [{body_format, binary}]),
    {Status, byte_size(Body), erlang:phash2(Body)}.

%% The VM's own TLS: a server that sends back what it gets in capitals, one client after the other. The listener belongs to
%% the process that opens it.
tls_server(Port, Certificate, Key) ->
    {ok, _} = application:ensure_all_started(ssl),
    Options = [binary, {active, false}, {packet, 4}, {reuseaddr, true}, {certfile, Certificate}, {keyfile, Key}],
    Starter = self(),
    spawn(fun() ->
        {ok, Listener} = ssl:listen(Port, Options),
        Starter ! {self(), listening},
        tls_serve(Listener)
    end),
    receive {_, listening} -> ok after ?PATIENCE -> timeout end.

tls_serve(Listener) ->
    {ok, Accepted} = ssl:transport_accept(Listener),
    {ok, Socket} = ssl:handshake(Accepted, ?PATIENCE),
    {ok, Data} = ssl:recv(Socket, 0, ?PATIENCE),
    ok = ssl:send(Socket, string:uppercase(Data)),
    ssl:close(Socket),
    tls_serve(Listener).

tls_client({Address, Port}, Ca) ->
    {ok, _} = application:ensure_all_started(ssl),
    {ok, Socket} = ssl:connect(Address, Port, [binary, {active, false}, {packet, 4}, {verify, verify_peer},
                                               {cacertfile, Ca}, {server_name_indication, "alpha"}], ?PATIENCE),
    {ok, [{protocol, Version}]} = ssl:connection_information(Socket, [protocol]),
    ok = ssl:send(Socket, binary:copy(<<"abc">>, 30000)),
    {ok, Answer} = ssl:recv(Socket, 0, ?PATIENCE),
    ssl:close(Socket),
    {Version, byte_size(Answer), erlang:phash2(Answer)}.

udp() ->
    {ok, One} = gen_udp:open(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Two} = gen_udp:open(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Two),
    ok = gen_udp:send(One, {127, 0, 0, 1}, Port, <<"a datagram">>),
    {ok, {_, _, Data}} = gen_udp:recv(Two, 0, ?PATIENCE),
    {ok, Sender} = inet:port(One),
    ok = gen_udp:connect(Two, {127, 0, 0, 1}, Sender),
    ok = gen_udp:send(Two, <<"another">>),
    {ok, {_, _, Back}} = gen_udp:recv(One, 0, ?PATIENCE),
    {Data, Back}.

local_stream(Path) ->
    {ok, Listener} = gen_tcp:listen(0, [{ifaddr, {local, Path}}, binary, {active, false}]),
    Answer = exchange(Listener, {local, Path}, 0),
    gen_tcp:close(Listener),
    Answer.

local_datagram(Path) ->
    {ok, Receiver} = gen_udp:open(0, [{ifaddr, {local, Path}}, binary, {active, true}]),
    {ok, Sender} = gen_udp:open(0, [local, binary]),
    ok = gen_udp:send(Sender, {local, Path}, 0, <<"a datagram">>),
    receive {udp, Receiver, _, _, Data} -> Data after ?PATIENCE -> timeout end.

%% A TCP server and client of the application's own: in clear, as they mean it.
tcp() ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}]),
    {ok, Port} = inet:port(Listener),
    exchange(Listener, {127, 0, 0, 1}, Port).

exchange(Listener, Address, Port) ->
    {ok, Client} = gen_tcp:connect(Address, Port, [binary, {active, false}], ?PATIENCE),
    {ok, Server} = gen_tcp:accept(Listener, ?PATIENCE),
    Data = binary:copy(<<"0123456789">>, 50000),
    spawn_link(fun() -> ok = gen_tcp:send(Client, Data) end),
    {ok, Received} = gen_tcp:recv(Server, byte_size(Data), ?PATIENCE),
    ok = gen_tcp:shutdown(Server, write),
    End = gen_tcp:recv(Client, 0, ?PATIENCE),
    {Received =:= Data, End}.

file(Path) ->
    Data = binary:copy(<<"line\n">>, 100000),
    ok = file:write_file(Path, Data),
    {ok, File} = file:open(Path, [read, write, raw, binary]),
    {ok, 100} = file:position(File, 100),
    ok = file:write(File, <<"LINE">>),
    {ok, <<"LINE\nline">>} = file:pread(File, 100, 9),
    ok = file:close(File),
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}]),
    {ok, Port} = inet:port(Listener),
    Sender = self(),
    spawn_link(fun() ->
        {ok, Reader} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
        {ok, Sent} = gen_tcp:recv(Reader, byte_size(Data), ?PATIENCE),
        Sender ! {received, erlang:phash2(Sent)}
    end),
    {ok, Writer} = gen_tcp:accept(Listener),
    {ok, Count} = file:sendfile(Path, Writer),
    receive {received, Hash} -> {Count, Hash} after ?PATIENCE -> timeout end.

commands() ->
    {os:cmd("echo one; echo two >&2"), os:cmd("exit 3"), os:cmd("cat /etc/hostname | wc -l"),
     os:cmd("printf '%s\\n' a b c | sort -r")}.

resolver(Name) ->
    {inet:getaddr(Name, inet), inet:getaddr(Name, inet6), inet:getaddr("no.such.name.lab", inet)}.

port_program() ->
    Port = open_port({spawn, "cat"}, [binary, {packet, 2}]),
    true = port_command(Port, <<"through a program">>),
    receive {Port, {data, Data}} -> true = port_close(Port), Data after ?PATIENCE -> timeout end.
