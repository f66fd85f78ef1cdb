%% In place of EPMD (-epmd_module dg_lab_epmd): a node's port is the digits at the end of its name, for listening and for
%% connecting, and nobody is asked.
-module(dg_lab_epmd).
-export([start_link/0, register_node/2, register_node/3, port_please/2, port_please/3, listen_port_please/2,
         address_please/3, names/1]).

-define(DISTRIBUTION_VERSION, 6).

start_link() -> ignore.

register_node(_Name, _Port) -> {ok, 1}.
register_node(_Name, _Port, _Family) -> {ok, 1}.

port_please(Name, Host) -> port_please(Name, Host, infinity).
port_please(Name, _Host, _Timeout) -> {port, port_of(Name), ?DISTRIBUTION_VERSION}.

listen_port_please(Name, _Host) -> {ok, port_of(Name)}.

address_please(_Name, Host, Family) -> inet:getaddr(Host, Family).

names(_Host) -> {error, address}.

port_of(Name) ->
    {match, [Digits]} = re:run(if is_atom(Name) -> atom_to_list(Name); true -> Name end, "[0-9]+$", [{capture, first, list}]),
    list_to_integer(Digits).
