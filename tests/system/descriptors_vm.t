#!/usr/bin/perl
# A real node under distribution load: shells and ports by the hundred do its connections no harm, and it ends in each of
# its ways when it is told to, whatever its threads are in the midst of. VM_ENDS says how often.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Test::More;

my $ends = $ENV{VM_ENDS} // 4;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my $b     = $beta->node('b', long => 1, shim => 1);

# Processes that send to the other node and want to have it back, until they are told to stop; {ok, Number} or the first
# answer that was another.
my $LOAD = <<'END';
    Echo = fun Echo() -> receive {From, Bytes} -> From ! {self(), Bytes}, Echo() end end,
    Talk = fun Talk(To, N) ->
               Bytes = binary:copy(<<N:32>>, 1 + N * 37 rem 20000),
               To ! {self(), Bytes},
               receive {To, Bytes} -> Talk(To, N + 1); {To, _} -> exit({wrong, N}); {stop, Who} -> Who ! {self(), N} end
           end,
    Talkers = [begin To = spawn(Node, Echo), spawn(fun() -> Talk(To, 0) end) end || _ <- lists:seq(1, 8)],
END

subtest 'a hundred shells and ports under load' => sub {
    my $a = $alpha->node('a', long => 1, shim => 1);
    my $result = $a->call('Node = ' . $b->atom . ", $LOAD" . <<'    END', 120);
        Self = self(),
        [spawn(fun() ->
            [] = os:cmd("true"),
            Port = open_port({spawn, "cat"}, [binary]),
            Port ! {self(), {command, <<"echo">>}},
            receive {Port, {data, <<"echo">>}} -> ok after 30000 -> exit(silent) end,
            port_close(Port),
            Self ! done
         end) || _ <- lists:seq(1, 100)],
        Done = [receive done -> ok after 60000 -> late end || _ <- lists:seq(1, 100)],
        Alive = [is_process_alive(P) || P <- Talkers],
        Counts = [begin P ! {stop, self()}, receive {P, N} -> N after 30000 -> late end end || P <- Talkers],
        {lists:usort(Done), lists:usort(Alive), lists:all(fun(N) -> is_integer(N) andalso N > 0 end, Counts)}
    END
    is($result, '{[ok],[true],true}', 'all come to their end, and so does every message');
    $a->stop;
};

for my $i (1 .. $ends) {
    my $end  = ('init:stop()', 'erlang:halt()', 'erlang:halt(0, [{flush, false}])', 'init:stop()')[$i % 4];
    my $a    = $alpha->node('a', long => 1, shim => 1);
    $a->call('Node = ' . $b->atom . ", $LOAD length(Talkers)");
    eval { $a->begin("timer:sleep(100), $end") };
    ok($a->process->wait(30), "$end ends it") or diag $a->process->describe;
    is($a->process->status, 0, 'in good order') or diag $a->process->describe;
}
is($b->call('length(nodes())'), '0', 'the other node has noticed');
is($b->call('1 + 1'), '2', 'and goes on');

done_testing;
