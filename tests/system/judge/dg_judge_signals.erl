%% Tells a process of the signals that reach the VM (erl_signal_server).
-module(dg_judge_signals).
-behaviour(gen_event).
-export([init/1, handle_event/2, handle_call/2]).

init(To) -> {ok, To}.

handle_event(Signal, To) ->
    To ! {signal, Signal},
    {ok, To}.

handle_call(_, To) -> {ok, ok, To}.
