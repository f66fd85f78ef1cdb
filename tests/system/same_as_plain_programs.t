#!/usr/bin/perl
# As same_as_plain.t, of OTP's programs as people and scripts run them: what they print, and the status with which they end.
#
# same_as_plain_programs.t [CASE...], a case being the beginning of its name.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Judge qw(worlds compare comparable);
use Test::More;

use constant { PATIENCE => 40, AT_ONCE => 3 };

my $lab = Distguard::Lab->new;
plan skip_all => 'there is nothing to compare without the library' if $ENV{DISTGUARD_LAB_PLAIN};

my @worlds = worlds($lab);

my $Erl = 'erl -noshell -setcookie lab +sbwt none +sbwtdcpu none +sbwtdio none';

# Commands of the shell; what they print and their status are compared. IP is the host's address, NAME a name that no other
# node has, PEER the node on the other host. One erl_call has the same name as the next, unless it is told another.
my @PROGRAMS = (
    ['erl: version', 'erl -version'],
    ['erl: ends', "$Erl -eval 'halt(0).'"],
    ['erl: a status', "$Erl -name NAME\@IP -eval 'halt(7).'"],
    ['erl: init:stop', "$Erl -name NAME\@IP -eval 'init:stop(5).'"],
    ['erl: prints', qq($Erl -name NAME\@IP -eval 'io:format("out~n"), io:format(standard_error, "err~n", []), init:stop().')],
    ['erl: a name that is taken', "$Erl -name n\@IP -eval 'halt(0).'"],
    ['erl: no such name', "$Erl -name a\@b\@c -eval 'halt(0).'"],
    ['erl: short and long names', "$Erl -sname x\@1.2.3.4 -eval 'halt(0).' 2>&1 | grep -ao \"Can't set short node name\" | sort -u; echo \${PIPESTATUS[0]}"],    # with crash reports, in no order
    ['erl: nobody is EPMD', "$Erl -name NAME\@IP -start_epmd false -epmd_port 9990 -eval 'halt(0).'"],
    ['erl: an address that is not ours', "$Erl -name NAME\@IP -kernel inet_dist_use_interface '{192,0,2,1}' -eval 'halt(0).'"],
    ['erl: no such protocol', "$Erl -name NAME\@IP -proto_dist nonsense -eval 'halt(0).'"],
    ['erl: killed', "$Erl -name NAME\@IP -eval 'os:cmd(\"kill -KILL \" ++ os:getpid()).'"],
    ['erl: told to end', "$Erl -name NAME\@IP -eval 'os:cmd(\"kill -TERM \" ++ os:getpid()), timer:sleep(20000).'"],
    ['erl: aborts', "cd \$HOME; ulimit -c 0; $Erl -name NAME\@IP -eval 'erlang:halt(abort).'"],
    ['erl: a crash dump', "cd \$HOME; ERL_CRASH_DUMP=NAME.dump ERL_CRASH_DUMP_SECONDS=-1 $Erl -name NAME\@IP -eval 'erlang:halt(\"on purpose\").'; s=\$?; grep -a ^Slogan NAME.dump; exit \$s"],
    ['erl: SIGUSR1', "cd \$HOME; ERL_CRASH_DUMP=NAME.dump ERL_CRASH_DUMP_SECONDS=-1 $Erl -name NAME\@IP -eval 'os:cmd(\"kill -USR1 \" ++ os:getpid()), timer:sleep(20000).'; s=\$?; grep -a ^Slogan NAME.dump; exit \$s"],
    ['erl: restarts', qq($Erl -name NAME\@IP -eval 'case os:getenv("AGAIN") of false -> os:putenv("AGAIN", "1"), io:format("~p~n", [net_adm:ping(PEER)]), init:restart(); _ -> io:format("again ~p~n", [net_adm:ping(PEER)]), halt(4) end.')],
    ['erl: sasl', "$Erl -boot start_sasl -sasl sasl_error_logger false -name NAME\@IP -eval 'pong = net_adm:ping(PEER), halt(0).'"],
    ['erl: over inet', qq($Erl -name q\@IP -eval '{ok, _} = erl_boot_server:start([{127,0,0,1}]), io:put_chars(os:cmd("erl -noshell -loader inet -id loaded -hosts 127.0.0.1 -setcookie lab -eval \\"io:format([111,107]), halt(0).\\"")), halt(0).')],
    ['erlc', q(cd $HOME; printf -- '-module(judged).\n-export([f/0]).\nf() -> 1.\n' >judged.erl; erlc judged.erl && ls judged.beam; printf 'broken' >judged.erl; erlc judged.erl)],
    ['escript', q(cd $HOME; printf '#!/usr/bin/env escript\n%%%%! -name judged@%s -setcookie lab\nmain(A) -> io:format("~p ~p~n", [A, net_adm:ping(%s)]), halt(2).\n' IP "PEER" >judged; escript judged a b)],
    ['erl_call: a call', "erl_call -h c\$RANDOM -c lab -name n\@IP -a 'erlang node'"],
    ['erl_call: code', "printf 'X = 20,\n{ok, X + 1}.\n' | erl_call -h c\$RANDOM -c lab -name n\@IP -e"],
    ['erl_call: nobody', "erl_call -h c\$RANDOM -c lab -name nobody\@IP -a 'erlang node'"],
    ['erl_call: a wrong cookie', "erl_call -h c\$RANDOM -c wrong -name n\@IP -a 'erlang node'"],
    ['erl_call: another host', "erl_call -h c\$RANDOM -c lab -timeout 10 -name n\@THERE_IP -a 'erlang node'"],
    ['epmd: names', 'epmd -names'],
    ['epmd: names of nobody', 'epmd -port 9990 -names'],
    ['epmd: is not to be killed', 'epmd -kill; epmd -names'],
    ['epmd: is not to forget', 'epmd -stop n; epmd -names'],
    ['epmd: another', 'epmd -port 9991 -daemon -relaxed_command_check; for i in $(seq 200); do epmd -port 9991 -names >/dev/null 2>&1 && break; sleep 0.05; done; epmd -port 9991 -names; epmd -port 9991 -kill; for i in $(seq 200); do epmd -port 9991 -names >/dev/null 2>&1 || break; sleep 0.05; done; epmd -port 9991 -names'],
    ['epmd: a second', 'epmd -daemon; echo $?; epmd; echo $?'],
    ['heart', q(cd $HOME; rm -f beaten; HEART_COMMAND='touch beaten' erl -detached -heart -setcookie lab -name heart@IP; for i in $(seq 200); do epmd -names | grep -q heart && break; sleep 0.05; done; ) .
        q(erl_call -h c$RANDOM -c lab -name heart@IP -a 'os getpid' | tr -d '"' >pid; kill -KILL $(cat pid); for i in $(seq 200); do [ -e beaten ] && break; sleep 0.05; done; ls beaten)],
    ['detached', q(erl -detached -setcookie lab -name away@IP; for i in $(seq 200); do epmd -names | grep -q away && break; sleep 0.05; done; erl_call -h c$RANDOM -c lab -name away@IP -a "net_adm ping [PEER]"; erl_call -h c$RANDOM -c lab -name away@IP -q)],
    ['run_erl', q(cd $HOME; rm -rf run; mkdir run; run_erl -daemon run/ run "exec erl -setcookie lab -name tended@IP"; for i in $(seq 200); do epmd -names | grep -q tended && grep -aq Eshell run/erlang.log.1 && break; sleep 0.05; done; ) .
        q(erl_call -h c$RANDOM -c lab -name tended@IP -a "net_adm ping [PEER]"; erl_call -h c$RANDOM -c lab -name tended@IP -q; sleep 0.3; grep -avE '^$|run_erl|=====|1>' run/erlang.log.1 | tr -d '\r')],
);

my $count = 0;

# In both worlds at once.
sub begun {
    my ($command) = @_;
    my $name = 'p' . ++$count;
    return map {
        my ($world, $text) = ($_, $command);
        my ($here, $there) = @{ $world->{hosts} };
        my %stands = (NAME => $name, IP => $here->place, THERE_IP => $there->place, PEER => $world->{nodes}[1]->atom);
        # Erlang's quotes are the shell's.
        $text =~ s/PEER/list_to_atom("n\@$stands{THERE_IP}")/g if $text =~ /-eval/;
        $text =~ s/\b(THERE_IP|IP|NAME|PEER)\b/$stands{$1}/g;
        $here->spawn({ env => { $world->{shim} ? $here->shim_env : () } }, 'bash', '-c', $text);
    } @worlds;
}

sub said {
    my ($world, $run) = @_;
    return comparable($world, 'status ' . $run->status . "\n" . $run->out . $run->err) if $run->wait(PATIENCE);
    $run->kill;
    return 'the_case_hangs: ' . $run->describe;
}

my @chosen = grep { my $what = $_->[0]; !@ARGV || grep { index($what, $_) == 0 } @ARGV } @PROGRAMS;
while (my @some = splice @chosen, 0, AT_ONCE) {
    my @run = map { [begun($_->[1])] } @some;
    for my $n (0 .. $#some) {
        compare($some[$n][0], map { said($worlds[$_], $run[$n][$_]) } 0, 1);
    }
}

done_testing;
