%% The rest of a VM: datagrams, files, programs, signals, names, the processes and descriptors it has, and its own TLS.
-module(dg_judge_vm).
-export([udp/1, udp_connected/1, udp_active/1, udp_ancillary/1, udp_multicast/1, udp_errors/1, udp_local/1, sctp/1,
         files/1, raw_files/1, delayed_writes/1, directories/1, links/1, file_errors/1, open_files/1,
         commands/1, command_environment/1, port_programs/1, port_lines/1, port_exit_status/1, port_errors/1,
         port_descriptors/1, spawned_with_options/1, environment/1, signals/1, resolver/1, interfaces/1, dns/1,
         threads/1, descriptors/1, processes_of_vm/1, memory_kinds/1, ports_of_vm/1, allocators/1, times/1,
         cryptography/1, tls/1, tls_alerts/1, ssh_keys/1, http/1, compressed_boot_file/1, disk_logs/1, mnesia/1,
         loaded_modules/1, timers/1, heavy_processes/1, crash_of_a_process/1, logged/1, erl_prim_loader_works/1]).

-define(PATIENCE, 10000).
-define(LOOPBACK, {127, 0, 0, 1}).

noise(Size) -> binary:part(binary:copy(<< <<(erlang:phash2(N)):32>> || N <- lists:seq(1, 5000) >>, Size div 20000 + 1), 0, Size).

%% An application that this installation may not have.
with_application(Application, Fun) ->
    case application:ensure_all_started(Application) of
        {ok, _} -> Fun();
        {error, _} -> not_installed
    end.

%% --- datagrams ---

udp() -> {ok, Socket} = gen_udp:open(0, [binary, {active, false}, {ip, ?LOOPBACK}]), {ok, Port} = inet:port(Socket), {Socket, Port}.

udp(#{nowhere := _}) ->
    {One, OnePort} = udp(),
    {Other, Port} = udp(),
    {gen_udp:send(One, ?LOOPBACK, Port, <<"one">>), gen_udp:send(One, {?LOOPBACK, Port}, <<>>), gen_udp:send(One, {127, 0, 0, 1}, Port, noise(5000)),
     [case gen_udp:recv(Other, 0, ?PATIENCE) of {ok, {?LOOPBACK, OnePort, Data}} -> erlang:crc32(Data); E -> E end || _ <- [1, 2, 3]],
     gen_udp:recv(Other, 0, 20), gen_udp:send(One, ?LOOPBACK, Port, noise(70000)), inet:getstat(One, [send_cnt, send_oct])}.

udp_connected(_) ->
    {One, _} = udp(),
    {Other, Port} = udp(),
    ok = gen_udp:connect(One, ?LOOPBACK, Port),
    Sent = gen_udp:send(One, <<"connected">>),
    {ok, {_, _, Data}} = gen_udp:recv(Other, 0, ?PATIENCE),
    ok = gen_udp:close(Other),
    Lost = gen_udp:send(One, <<"nobody">>),
    timer:sleep(50),
    {Sent, Data, Lost, gen_udp:recv(One, 0, 200)}.

udp_active(_) ->
    {One, OnePort} = udp(),
    {Other, Port} = udp(),
    ok = inet:setopts(Other, [{active, 2}]),
    [ok = gen_udp:send(One, ?LOOPBACK, Port, <<N>>) || N <- [1, 2, 3]],
    [receive {udp, Other, ?LOOPBACK, OnePort, Data} -> Data; {udp_passive, Other} -> passive after 500 -> nothing end || _ <- [1, 2, 3, 4]].

udp_ancillary(_) ->
    {One, _} = udp(),
    {Other, Port} = udp(),
    ok = inet:setopts(Other, [{recvtos, true}, {recvttl, true}]),
    ok = inet:setopts(One, [{tos, 16}]),
    ok = gen_udp:send(One, ?LOOPBACK, Port, <<"marked">>),
    case gen_udp:recv(Other, 0, ?PATIENCE) of {ok, {_, _, Ancillary, Data}} -> {lists:sort(Ancillary), Data}; E -> E end.

udp_multicast(#{here := Here}) ->
    {ok, Member} = gen_udp:open(0, [binary, {active, false}, {add_membership, {{239, 1, 2, 3}, Here}}, {multicast_if, Here}]),
    {ok, Port} = inet:port(Member),
    {ok, Sender} = gen_udp:open(0, [binary, {multicast_if, Here}, {multicast_loop, true}, {multicast_ttl, 1}]),
    ok = gen_udp:send(Sender, {239, 1, 2, 3}, Port, <<"to all">>),
    Read = case gen_udp:recv(Member, 0, ?PATIENCE) of {ok, {_, _, Data}} -> Data; E -> E end,
    {Read, inet:setopts(Member, [{drop_membership, {{239, 1, 2, 3}, Here}}]), inet:getopts(Sender, [multicast_ttl, multicast_loop, broadcast])}.

udp_errors(_) ->
    {_, Port} = udp(),
    {gen_udp:open(Port, [{ip, ?LOOPBACK}]), dg_judge:outcome(fun() -> gen_udp:open(0, [{ip, {192, 0, 2, 1}}]) end),
     gen_udp:open(0, [{bind_to_device, <<"nonesuch">>}])}.

udp_local(#{dir := Dir}) ->
    Path = filename:join(Dir, "udp-local"),
    file:delete(Path),
    {ok, Receiver} = gen_udp:open(0, [{ifaddr, {local, Path}}, binary, {active, true}]),
    {ok, Sender} = gen_udp:open(0, [local, binary]),
    ok = gen_udp:send(Sender, {local, Path}, 0, <<"datagram">>),
    receive {udp, Receiver, _, _, Data} -> Data after ?PATIENCE -> timeout end.

%% Few kernels have it; then the error is to be the same.
sctp(_) -> dg_judge:outcome(fun() -> case gen_sctp:open(0, []) of {ok, S} -> gen_sctp:close(S), opened; E -> E end end).

%% --- files ---

files(#{dir := Dir}) ->
    Path = filename:join(Dir, "judge-file"),
    Data = noise(500000),
    ok = file:write_file(Path, Data),
    {ok, Back} = file:read_file(Path),
    ok = file:write_file(Path, <<"more">>, [append]),
    {ok, Copied} = file:copy(Path, Path ++ ".copy"),
    {Back =:= Data, Copied, filelib:file_size(Path ++ ".copy"), file:rename(Path ++ ".copy", Path ++ ".new"), file:delete(Path ++ ".new"),
     element(1, file:read_file_info(Path))}.

raw_files(#{dir := Dir}) ->
    Path = filename:join(Dir, "judge-raw"),
    {ok, File} = file:open(Path, [read, write, raw, binary]),
    {file:write(File, noise(10000)), file:position(File, 5000), file:write(File, <<"HERE">>), file:pread(File, 4998, 8), file:pwrite(File, [{0, <<"A">>}, {20000, <<"Z">>}]),
     file:pread(File, [{0, 1}, {20000, 1}, {30000, 1}]), file:truncate(File), file:datasync(File), file:sync(File), dg_judge:outcome(fun() -> file:allocate(File, 0, 100000) end),
     file:advise(File, 0, 0, sequential), file:close(File), file:close(File)}.

delayed_writes(#{dir := Dir}) ->
    Path = filename:join(Dir, "judge-delayed"),
    {ok, File} = file:open(Path, [write, raw, binary, {delayed_write, 64000, 2000}]),
    [ok = file:write(File, <<N:32>>) || N <- lists:seq(1, 10000)],
    ok = file:close(File),
    {ok, Again} = file:open(Path, [read, raw, binary, {read_ahead, 1000}]),
    {ok, First} = file:read(Again, 8),
    {filelib:file_size(Path), First}.

directories(#{dir := Dir}) ->
    Path = filename:join(Dir, "judge-dir"),
    ok = filelib:ensure_dir(filename:join(Path, "x")),
    ok = file:write_file(filename:join(Path, "b"), <<>>),
    ok = file:write_file(filename:join(Path, "a"), <<>>),
    {ok, Names} = file:list_dir(Path),
    {lists:sort(Names), file:del_dir(Path), [file:delete(filename:join(Path, N)) || N <- Names], file:del_dir(Path), filelib:wildcard(filename:join(Path, "*"))}.

links(#{dir := Dir}) ->
    Path = filename:join(Dir, "judge-link"),
    file:delete(Path),
    ok = file:make_symlink("target", Path),
    {file:read_link(Path), file:read_file(Path), file:make_link(Path, Path ++ "2"), file:delete(Path ++ "2")}.

file_errors(_) ->
    [file:read_file("/nonexistent"), file:write_file("/proc/nonexistent", <<>>), file:open("/", [write]), file:read_file("/"),
     file:open("x", [nonsense]), file:read_file(<<"a", 0, "b">>)].

%% Files that are open while connections come and go keep their descriptors.
open_files(#{dir := Dir} = World) ->
    Files = [begin
        Path = filename:join(Dir, "open-" ++ integer_to_list(N)),
        {ok, File} = file:open(Path, [read, write, raw, binary]),
        {N, File}
    end || N <- lists:seq(1, 50)],
    dg_judge:connected(World),
    dg_judge:disconnected(World),
    [ok = file:write(File, <<N:32>>) || {N, File} <- Files],
    dg_judge:connected(World),
    lists:usort([begin {ok, <<N:32>>} = file:pread(File, 0, 4), file:close(File) end || {N, File} <- Files]).

%% --- programs ---

commands(_) ->
    [os:cmd(Command) || Command <- ["echo one; echo two >&2", "exit 3", "cat </dev/null", "printf 'a\\000b'", "seq 1 5 | sort -r",
                                    "nonexistent-program 2>&1 | grep -c 'not found'", "ulimit -c; umask", "cat /proc/self/cgroup | wc -l",
                                    "readlink /proc/self/fd/0 | cut -c1-4", "ls /proc/self/fd | wc -l", "cd / && pwd", "sh -c 'kill -9 $$'; echo $?"]].

%% Children inherit the library by name and find nothing else changed.
command_environment(_) ->
    Lines = string:split(os:cmd("env"), "\n", all),
    Names = lists:sort([hd(string:split(Line, "=")) || Line <- Lines, Line =/= []]),
    [Name || Name <- Names, not lists:member(Name, ["LD_PRELOAD", "DISTGUARD_CONF"])].

environment(_) ->
    [Name || {Name, _} <- lists:sort(os:env()), not lists:member(Name, ["LD_PRELOAD", "DISTGUARD_CONF"])].

port_programs(_) ->
    Port = open_port({spawn, "cat"}, [binary, {packet, 4}]),
    true = port_command(Port, noise(300000)),
    Back = receive {Port, {data, Data}} -> erlang:crc32(Data) after ?PATIENCE -> timeout end,
    {Back, element(1, erlang:port_info(Port, os_pid)), port_close(Port)}.

port_lines(_) ->
    Port = open_port({spawn, "printf 'one\\ntwo\\nthree-is-too-long-for-it\\nrest'"}, [{line, 10}, exit_status, eof]),
    Hear = fun Hear() -> receive {Port, What} -> [What | Hear()] after 500 -> [] end end,
    %% When the program's end is told is not fixed.
    lists:partition(fun(What) -> is_tuple(What) andalso element(1, What) =:= data end, lists:sort(fun(A, B) -> not (not is_data(A) andalso is_data(B)) end, Hear())).

is_data({data, _}) -> true;
is_data(_) -> false.

port_exit_status(_) ->
    [begin
        Port = open_port({spawn, Command}, [exit_status]),
        receive {Port, {exit_status, Status}} -> Status after ?PATIENCE -> timeout end
     end || Command <- ["true", "sh -c 'exit 7'", "sh -c 'kill -15 $$'"]].

port_errors(_) ->
    [dg_judge:outcome(fun() -> open_port(What, Options) end) || {What, Options} <- [
        {{spawn_executable, "/nonexistent"}, []}, {{spawn_executable, "/etc/hostname"}, []}, {{spawn, "cat"}, [nonsense]},
        {{spawn_driver, "no_such_driver"}, []}]].

port_descriptors(_) ->
    Port = open_port({spawn, "sh -c 'cat <&3 >&4'"}, [nouse_stdio, binary]),
    true = port_command(Port, <<"three and four">>),
    Read = receive {Port, {data, Data}} -> Data after ?PATIENCE -> timeout end,
    {Read, port_close(Port)}.

spawned_with_options(#{dir := Dir}) ->
    Port = open_port({spawn_executable, "/bin/sh"}, [binary, {args, ["-c", "echo $JUDGE $0; pwd; echo oops >&2"]}, {arg0, "judged"},
                     {env, [{"JUDGE", "yes"}, {"HOME", false}]}, {cd, Dir}, stderr_to_stdout, exit_status]),
    Hear = fun Hear(All) -> receive {Port, {data, Data}} -> Hear(<<All/binary, Data/binary>>); {Port, {exit_status, S}} -> {All, S} after ?PATIENCE -> timeout end end,
    Hear(<<>>).

%% What a VM does on a signal from outside, where the program asks to be told.
signals(_) ->
    Self = self(),
    ok = gen_event:add_handler(erl_signal_server, dg_judge_signals, Self),
    Told = [begin
        ok = os:set_signal(Signal, handle),
        os:cmd("kill -" ++ Name ++ " " ++ os:getpid()),
        receive {signal, Signal} -> Signal after 2000 -> nothing end
    end || {Signal, Name} <- [{sighup, "HUP"}, {sigusr2, "USR2"}, {sigalrm, "ALRM"}, {sigtstp, "TSTP"}]],
    gen_event:delete_handler(erl_signal_server, dg_judge_signals, []),
    os:set_signal(sighup, ignore),
    os:cmd("kill -HUP " ++ os:getpid()),
    %% A broken pipe is no reason to end.
    os:cmd("kill -PIPE " ++ os:getpid()),
    {Told, node() =/= nonode@nohost}.

%% --- names ---

resolver(_) ->
    {inet:getaddr("silent", inet), inet:getaddr("silent", inet6), inet:getaddr("no.such.name.lab", inet), inet:gethostbyname("silent.lab"),
     inet:gethostbyaddr({10, 77, 0, 1}) =/= x, inet:getaddrs("localhost", inet), element(1, net:getaddrinfo("localhost")), element(1, inet:gethostname())}.

interfaces(_) ->
    {ok, All} = inet:getifaddrs(),
    {[Name || {Name, _} <- lists:sort(All)], element(1, net:getifaddrs()), net:if_names() =/= []}.

%% Questions over TCP to a server that is there, and over UDP to one that is not.
dns(_) ->
    Port = 40000 + erlang:phash2({dns, os:getpid()}, 10000),
    {ok, Listener} = gen_tcp:listen(Port, [binary, {packet, 2}, {active, false}, {ip, ?LOOPBACK}, {reuseaddr, true}]),
    Server = spawn_link(fun() -> dns_serve(Listener) end),
    ok = gen_tcp:controlling_process(Listener, Server),
    Answers = [inet_res:resolve("name" ++ integer_to_list(N) ++ ".lab", in, a, [{nameservers, [{?LOOPBACK, Port}]}, {usevc, true}, {timeout, 2000}, {retry, 1}])
               || N <- lists:seq(1, 40)],
    {lists:usort([case A of {ok, Message} -> [inet_dns:rr(RR, data) || RR <- inet_dns:msg(Message, anlist)]; Other -> Other end || A <- Answers]),
     inet_res:resolve("name.lab", in, a, [{nameservers, [{?LOOPBACK, 1}]}, {timeout, 200}, {retry, 1}])}.

dns_serve(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    case gen_tcp:recv(Socket, 0, ?PATIENCE) of
        {ok, <<Id:16, _:16, 1:16, _:48, Question/binary>>} ->
            Size = byte_size(hd(binary:split(Question, <<0, 0, 1, 0, 1>>))) + 5,
            <<Asked:Size/binary, _/binary>> = Question,
            ok = gen_tcp:send(Socket, <<Id:16, 16#8180:16, 1:16, 1:16, 0:32, Asked/binary, 16#C00C:16, 1:16, 1:16, 60:32, 4:16, 10, 1, 2, 3>>);
        _ -> ok
    end,
    gen_tcp:close(Socket),
    dns_serve(Listener).

%% --- the VM's own figures ---

threads(_) ->
    {ok, Tasks} = file:list_dir("/proc/self/task"),
    lists:sort([begin {ok, Name} = file:read_file("/proc/self/task/" ++ T ++ "/comm"), re:replace(Name, "[0-9]+", "N", [global, {return, list}]) end || T <- Tasks]).

%% Sockets are left out: how many there are depends on what was closed just before.
descriptors(_) ->
    {ok, Numbers} = file:list_dir("/proc/self/fd"),
    Kinds = [case file:read_link("/proc/self/fd/" ++ N) of {ok, L} -> re:replace(L, "[0-9]{2,}", "N", [global, {return, list}]); _ -> gone end || N <- Numbers],
    lists:sort([Kind || Kind <- Kinds, Kind =/= gone, re:run(Kind, "^socket:") =:= nomatch]).

processes_of_vm(World) ->
    dg_judge:connected(World),
    lists:sort([case process_info(P, initial_call) of {_, Call} -> {Call, proplists:get_value('$initial_call', element(2, process_info(P, dictionary)))}; _ -> gone end
                || P <- processes(), P =/= self(), process_info(P, initial_call) =/= {initial_call, {erlang, apply, 2}}]).

ports_of_vm(_) -> lists:sort([Name || P <- erlang:ports(), {name, Name} <- [erlang:port_info(P, name)], Name =/= "tcp_inet"]).

memory_kinds(_) -> [Kind || {Kind, Bytes} <- erlang:memory(), Bytes > 0].

allocators(_) -> {erlang:system_info(allocator) =/= undefined, erlang:system_info(build_type), erlang:system_info(threads), erlang:system_info(thread_pool_size),
                  erlang:system_info(kernel_poll), erlang:system_info(schedulers), erlang:system_info(emu_flavor), erlang:system_info(os_type)}.

times(_) -> {erlang:system_info(os_monotonic_time_source) =/= [], erlang:system_info(time_correction), dg_judge:timed(fun() -> timer:sleep(50) end), os:timestamp() > {0, 0, 0}}.

timers(_) ->
    Self = self(),
    [erlang:send_after(N, Self, N) || N <- [30, 10, 20]],
    {[receive N when is_integer(N) -> N after ?PATIENCE -> timeout end || _ <- [1, 2, 3]], element(1, timer:tc(timer, sleep, [20])) >= 20000}.

heavy_processes(_) ->
    Self = self(),
    Pids = [spawn(fun() -> Self ! {self(), lists:sum(lists:seq(1, N))} end) || N <- lists:seq(1, 2000)],
    lists:sum([receive {Pid, Sum} -> Sum after ?PATIENCE -> 0 end || Pid <- Pids]).

loaded_modules(_) -> {code:get_mode(), [M || M <- erlang:pre_loaded(), M =:= prim_inet orelse M =:= prim_socket orelse M =:= socket_registry]}.

erl_prim_loader_works(_) ->
    {element(1, erl_prim_loader:get_file(code:which(lists))), element(1, erl_prim_loader:list_dir(code:root_dir())), erl_prim_loader:get_file("/nonexistent")}.

compressed_boot_file(_) -> {filelib:is_regular(filename:join([code:root_dir(), "bin", "start.boot"])), init:get_status(), init:script_id() =/= undefined}.

crash_of_a_process(_) ->
    {Pid, Reference} = spawn_monitor(fun() -> error(on_purpose) end),
    receive {'DOWN', Reference, process, Pid, {Why, _}} -> Why after ?PATIENCE -> timeout end.

logged(_) ->
    {logger:get_primary_config(), [maps:with([module, level], C) || C <- logger:get_handler_config()]}.

%% --- what uses OpenSSL beside the library ---

cryptography(_) ->
    with_application(crypto, fun() ->
        Key = binary:copy(<<1>>, 32),
        {Public, Private} = crypto:generate_key(ecdh, x25519),
        Sealed = crypto:crypto_one_time_aead(aes_256_gcm, Key, binary:copy(<<2>>, 12), <<"text">>, <<"more">>, true),
        Signed = crypto:sign(eddsa, none, <<"data">>, [Key, ed25519]),
        {crypto:hash(sha256, <<"abc">>), Sealed, Signed, byte_size(crypto:strong_rand_bytes(64)), {byte_size(Public), byte_size(Private)},
         crypto:mac(hmac, sha384, Key, <<"data">>), dg_judge:outcome(fun() -> crypto:hash(nonsense, <<>>) =/= x end) =/= ok,
         [{Name, Version} || {Name, Version, _} <- crypto:info_lib()], crypto:info_fips(), length(crypto:supports(ciphers)), length(crypto:supports(curves)),
         %% An error that OpenSSL puts into its queue is not somebody else's later.
         element(1, dg_judge:outcome(fun() -> crypto:private_decrypt(rsa, <<1>>, [1, 2, 3], rsa_pkcs1_padding) end)),
         dg_judge:outcome(fun() -> crypto:crypto_one_time_aead(aes_256_gcm, Key, binary:copy(<<2>>, 12), <<"wrong">>, <<"more">>, <<0:128>>, false) end)}
    end).

test_certificate() ->
    #{server_config := Server, client_config := Client} = public_key:pkix_test_data(#{
        server_chain => #{root => [{digest, sha256}, {key, {namedCurve, secp256r1}}], intermediates => [], peer => [{digest, sha256}, {key, {namedCurve, secp256r1}}]},
        client_chain => #{root => [{digest, sha256}, {key, {namedCurve, secp256r1}}], intermediates => [], peer => [{digest, sha256}, {key, {namedCurve, secp256r1}}]}}),
    {Server, Client}.

%% The VM's own TLS, between the VMs of both hosts.
tls(#{there := There} = World) ->
    with_application(ssl, fun() ->
        dg_judge:connected(World),
        {ServerConfig, ClientConfig} = test_certificate(),
        [tls_between(World, There, ServerConfig, ClientConfig, Version) || Version <- ['tlsv1.2', 'tlsv1.3']]
    end).

tls_between(#{peer := Peer}, There, ServerConfig, ClientConfig, Version) ->
    Self = self(),
    Server = spawn(Peer, fun() ->
        {ok, _} = application:ensure_all_started(ssl),
        {ok, Listener} = ssl:listen(0, [binary, {active, false}, {ip, There}, {versions, [Version]}, {verify, verify_peer}, {fail_if_no_peer_cert, true} | ServerConfig]),
        {ok, {_, Port}} = ssl:sockname(Listener),
        Self ! {self(), Port},
        {ok, Accepted} = ssl:transport_accept(Listener, ?PATIENCE),
        {ok, Socket} = ssl:handshake(Accepted, ?PATIENCE),
        {ok, Data} = ssl:recv(Socket, 200000, ?PATIENCE),
        ok = ssl:send(Socket, Data),
        Self ! {self(), ssl:recv(Socket, 0, ?PATIENCE)}
    end),
    Port = receive {Server, P} -> P after ?PATIENCE -> exit(no_server) end,
    {ok, Socket} = ssl:connect(There, Port, [binary, {active, false}, {versions, [Version]}, {verify, verify_peer}, {server_name_indication, disable} | ClientConfig], ?PATIENCE),
    ok = ssl:send(Socket, noise(200000)),
    {ok, Data} = ssl:recv(Socket, 200000, ?PATIENCE),
    {ok, [{protocol, Protocol}]} = ssl:connection_information(Socket, [protocol]),
    ok = ssl:close(Socket),
    {Protocol, erlang:crc32(Data), receive {Server, End} -> End after ?PATIENCE -> timeout end}.

tls_alerts(_) ->
    with_application(ssl, fun() ->
        {ServerConfig, _} = test_certificate(),
        {_, StrangersConfig} = test_certificate(),
        {ok, Listener} = ssl:listen(0, [binary, {active, false}, {ip, ?LOOPBACK}, {versions, ['tlsv1.3']}, {log_level, none} | ServerConfig]),
        {ok, {_, Port}} = ssl:sockname(Listener),
        Self = self(),
        Server = spawn_link(fun() -> {ok, A} = ssl:transport_accept(Listener, ?PATIENCE), Self ! {self(), ssl:handshake(A, ?PATIENCE)} end),
        Client = ssl:connect(?LOOPBACK, Port, [{versions, ['tlsv1.3']}, {verify, verify_peer}, {server_name_indication, disable}, {log_level, none} | StrangersConfig], ?PATIENCE),
        Alert = fun({error, {tls_alert, {Kind, _}}}) -> Kind; (Other) -> Other end,
        {Alert(Client), receive {Server, Outcome} -> Alert(Outcome) after ?PATIENCE -> timeout end}
    end).

ssh_keys(_) ->
    with_application(public_key, fun() ->
        Key = public_key:generate_key({namedCurve, secp256r1}),
        Signature = public_key:sign(<<"data">>, sha256, Key),
        public_key:verify(<<"data">>, sha256, Signature, {{'ECPoint', element(5, Key)}, element(4, Key)})
    end).

http(#{dir := Dir, here := Here}) ->
    with_application(inets, fun() ->
        ok = file:write_file(filename:join(Dir, "page.txt"), lists:duplicate(20000, "all is well\n")),
        {ok, Server} = inets:start(httpd, [{port, 0}, {server_name, "lab"}, {server_root, Dir}, {document_root, Dir}, {bind_address, any}]),
        [{port, Port}] = httpd:info(Server, [port]),
        Url = "http://" ++ inet:ntoa(Here) ++ ":" ++ integer_to_list(Port),
        Answers = [case httpc:request(get, {Url ++ Path, []}, [{timeout, ?PATIENCE}], [{body_format, binary}]) of
                       {ok, {{_, Status, _}, _, Body}} -> {Status, Status =:= 404 orelse erlang:crc32(Body)};
                       Other -> Other
                   end || Path <- ["/page.txt", "/none", "/page.txt"]],
        {Answers, inets:stop(httpd, Server)}
    end).

disk_logs(#{dir := Dir}) ->
    {ok, Log} = disk_log:open([{name, judge}, {file, filename:join(Dir, "judge.log")}, {type, wrap}, {size, {10000, 3}}]),
    [ok = disk_log:log(Log, {N, noise(100)}) || N <- lists:seq(1, 100)],
    {element(1, disk_log:chunk(Log, start)) =/= error, disk_log:close(Log)}.

mnesia(#{dir := Dir}) ->
    application:load(mnesia),
    application:set_env(mnesia, dir, filename:join(Dir, "judge-mnesia")),
    _ = mnesia:create_schema([node()]),
    with_application(mnesia, fun() ->
        Created = mnesia:create_table(judge_table, [{disc_copies, [node()]}]),
        Written = mnesia:transaction(fun() -> [mnesia:write({judge_table, N, N * N}) || N <- lists:seq(1, 100)], ok end),
        {Created, Written, mnesia:dirty_read(judge_table, 7), application:stop(mnesia)}
    end).
