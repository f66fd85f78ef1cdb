#!/usr/bin/perl
# The tools that operators use: remote shells, erl_call, and who of this very host may come in plaintext.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Node;
use Distguard::Lab::Wait qw(wait_for);
use Test::More;

use constant NOBODY => 65534;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my $a = $alpha->node('a', shim => 1);
my @cookie = ('-setcookie', Distguard::Lab::Node::COOKIE);
my $library = $alpha->shim_env;

# A shell on the node of alpha, on a terminal of its own. Types once it is prompted; the sum shows that it was evaluated.
sub remote_shell {
    my ($host, $what) = @_;
    pipe(my $keyboard, my $fingers) or die "pipe: $!";
    my $shell = $host->start_process(['script', '-qec', "erl -sname shell -remsh a\@alpha @cookie", '/dev/null'],
        env => { TERM => 'vt100', $host->shim_env }, pipes => { 0 => $keyboard });
    my $prompt = wait_for(20, sub { $shell->out =~ /a\@alpha\)1>/ || !$shell->running });
    syswrite $fingers, qq(io:format("~w on ~s~n", [6*7, node()]).\n) if $prompt;
    ok(wait_for(10, sub { $shell->out =~ /42 on a\@alpha/ }), $what) or diag $shell->describe;
    $shell->kill;
}

remote_shell($beta, 'a remote shell from another host evaluates on the node');
remote_shell($alpha, 'a remote shell from the same host evaluates on the node');

# erl_call on alpha; the options name the node and the cookie.
sub erl_call {
    my ($host, $env, @as) = @_;
    return $host->run({ env => $env }, @as, 'erl_call', '-sname', 'a@alpha', '-c', Distguard::Lab::Node::COOKIE,
        '-timeout', 5, '-a', 'erlang node');
}

sub answers {
    my ($run, $what) = @_;
    is_deeply([$run->status, $run->out =~ s/[\s']+//gr], [0, 'a@alpha'], $what) or diag $run->describe, $alpha->log;
}

subtest 'erl_call' => sub {
    answers(erl_call($alpha, { $alpha->shim_env }), 'with the library, on the same host');
    answers(erl_call($beta, { $beta->shim_env }), 'with the library, from another host');
    answers(erl_call($alpha, {}), 'without the library, on the same host, by the same user');
    my $stranger = erl_call($beta, {});
    isnt($stranger->status, 0, 'without the library, from another host: refused') if $library;
};

subtest 'plaintext nodes on the same host' => sub {
    plan skip_all => 'a control run' if !$library;
    my $plain = $alpha->node('plain');
    is($plain->call('net_adm:ping(a@alpha)'), 'pong', 'of the same user: admitted');
    $plain->stop;

    SKIP: {
        skip 'there is but one user in here', 2 if !$lab->has_users;
        my $home = $alpha->dir . '/nobody';
        mkdir $home;
        chown NOBODY, NOBODY, $home;
        my $other = $alpha->node('other', as => [qw(setpriv --clear-groups), '--reuid=' . NOBODY, '--regid=' . NOBODY],
            env => { HOME => $home });
        my $before = () = $alpha->log;
        is($other->call('net_adm:ping(a@alpha)'), 'pang', 'of another user: refused');
        my @new = $alpha->log;
        splice @new, 0, $before;
        is(scalar(grep { /event=\S*refus.*plaintext/ } @new), 1, 'and logged, once') or diag @new;
        $other->stop;
    }
};

for my $case (['deny', 'pang', 'pang'], ['allow', 'pong', 'pong']) {
    my ($local, $same_user, $other_user) = @$case;
    subtest "local = \"$local\"" => sub {
        plan skip_all => 'a control run' if !$library;
        my $conf = $alpha->shim(conf => { local => $local }, file => $lab->temp_path('conf'));
        my $strict = $alpha->node("strict_$local", shim => 1, env => { DISTGUARD_CONF => $conf });
        my $plain = $alpha->node("plain_$local");
        is($plain->call("net_adm:ping(${\$strict->atom})"), $same_user, 'a plaintext node of the same user');
        my $shimmed = $alpha->node("shimmed_$local", shim => 1);
        is($shimmed->call("net_adm:ping(${\$strict->atom})"), 'pong', 'a node with the library');
        SKIP: {
            skip 'there is but one user in here', 1 if !$lab->has_users;
            my $other = $alpha->node("other_$local", env => { HOME => $alpha->dir . '/nobody' },
                as => [qw(setpriv --clear-groups), '--reuid=' . NOBODY, '--regid=' . NOBODY]);
            is($other->call("net_adm:ping(${\$strict->atom})"), $other_user, 'a plaintext node of another user');
            $other->stop;
        }
        $_->stop for $strict, $plain, $shimmed;
    };
}

done_testing;
