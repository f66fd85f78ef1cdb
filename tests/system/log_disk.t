#!/usr/bin/perl
# A log on a disk that hangs or is full: the node and epmd go on as if nothing were, and when the disk is back it has the
# lines and the count of those that found no room. A log that cannot block needs no thread.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab::Disk;
use Distguard::Lab;
use Distguard::Lab::Epmd qw(epmd_pid);
use Distguard::Lab::Process;
use Distguard::Lab::Reach qw(listeners);
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant {
    THREAD   => 'distguard-log',
    MANY     => 1200,    # lines: more than the ring takes
    SOME     => 40,
    PATIENCE => 2,       # seconds for an answer, on a loaded machine; a frozen disk's comes never
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
plan skip_all => 'there is no log without the library' if !$alpha->shim_env;
my $disk = Distguard::Lab::Disk->new($alpha) or plan skip_all => Distguard::Lab::Disk::reason();
my $log = $disk->path('distguard.log');

my $beta_ip = $beta->ip =~ tr/./,/r;
my $alpha_ip = $alpha->ip =~ tr/./,/r;
my @args = (args => [qw(-connect_all false)]);
my $b = $beta->node('b', long => 1, shim => 1, @args);

sub start {
    my ($name) = @_;
    $alpha->shim(conf => { log => { target => $log } });
    return $alpha->node($name, long => 1, shim => 1, @args);
}

# Has a node ask the EPMD at that address so often, over TLS, and be admitted each time; how long the slowest took. Where it
# is to be often, several ask at a time.
sub ask {
    my ($node, $address, $times) = @_;
    my $workers = $times > SOME ? 4 : 1;
    my $slowest = $node->call(<<"    END");
        Ask = fun() -> {Time, {ok, _}} = timer:tc(erl_epmd, names, [{$address}]), Time end,
        Work = fun() -> exit({slowest, lists:max([Ask() || _ <- lists:seq(1, $times div $workers)])}) end,
        lists:max([receive {'DOWN', R, process, _, {slowest, Time}} -> Time end
                   || {_, R} <- [spawn_monitor(Work) || _ <- lists:seq(1, $workers)]])
    END
    return $slowest =~ /^\d+$/ ? $slowest / 1e6 : die "asking EPMD gave $slowest";
}

sub is_quick {
    my ($seconds, $what) = @_;
    cmp_ok($seconds, '<', PATIENCE, $what);
    note sprintf 'the slowest: %.1f ms', 1000 * $seconds;
}

# What the log has of a program's connections with EPMD, in one direction.
sub lines {
    my ($program, $direction) = @_;
    return grep { /distguard\[\Q$program\E\]: event=admitted .*role=epmd direction=$direction/ } split /^/, $disk->read('distguard.log');
}

# How many there are or are told as dropped.
sub told {
    my @lines = lines(@_);
    my $sum = @lines;
    /dropped=(\d+)/ and $sum += $1 for @lines;
    return $sum;
}

sub dropped_so_far {
    my ($pid) = @_;
    return decode_json($alpha->run($lab->tool, 'status', '--json', $pid)->out)->{processes}[0]{totals}{log_lines_dropped};
}

sub threads {
    my ($pid) = @_;
    return scalar grep { Distguard::Lab::Process::slurp($_) eq THREAD . "\n" } glob "/proc/$pid/task/*/comm";
}

sub all_told {
    my ($program, $direction, $wanted, $what) = @_;
    wait_for(10, sub { told($program, $direction) >= $wanted });
    is(told($program, $direction), $wanted, $what) or diag $disk->read('distguard.log');
}

subtest 'a disk that hangs' => sub {
    my $a = start('a');
    my $epmd = epmd_pid($alpha);
    is(threads($a->pid), 1, 'the log in a file has its thread');
    my ($out, $in) = (told('beam.smp', 'out'), told('epmd', 'in'));

    $disk->freeze;
    is_quick(ask($a, $beta_ip, SOME), 'the node does not wait for it');
    is_quick(ask($b, $alpha_ip, SOME), 'nor does epmd');
    is($b->call('net_kernel:connect_node(' . $a->atom . ')'), 'true', 'another node joins');
    is_quick(ask($a, $beta_ip, MANY), 'nor does the node where the lines find no room any more');
    is(told('beam.smp', 'out'), $out, 'meanwhile nothing is written');
    my $dropped = dropped_so_far($a->pid);
    cmp_ok($dropped, '>', 0, 'the status page counts what is lost');
    $disk->thaw;

    wait_until('the lines that waited are written', 10, sub { told('beam.smp', 'out') >= $out + SOME + MANY - $dropped });
    is_quick(ask($a, $beta_ip, 4), 'then it goes on');
    all_told('beam.smp', 'out', $out + SOME + MANY + 4, 'each line is there, or told as dropped');
    is(dropped_so_far($a->pid), $dropped, 'as the status page has it');
    all_told('epmd', 'in', $in + SOME + 1, q(and so is each of epmd's, which was asked for the port, too));
    my @times = map { /^(\S+)/ } lines('epmd', 'in');
    is_deeply(\@times, [sort @times], 'in their order');
    $a->stop;
};

# The order that halts a node comes right behind what it is to have in its log.
subtest 'the end of a program' => sub {
    my $a = start('ends');
    my $before = lines('beam.smp', 'out');
    $a->begin("{ok, _} = erl_epmd:names({$beta_ip}), halt()");
    ok($a->process->wait(20), 'a node halts') or diag $a->process->describe;
    is(scalar lines('beam.smp', 'out'), $before + 1, 'its last line is there');

    my $killed = start('killed');
    ok(scalar(listeners($alpha, $killed->pid)), 'a node listens');
    $disk->freeze;
    ask($killed, $beta_ip, 4);
    kill KILL => $killed->pid;
    ok(wait_for(5, sub { $alpha->must(qw(ss -Htlnp)) !~ /"beam/ }), 'is killed while the disk hangs: its port is free')
        or diag $alpha->must(qw(ss -Htlnp));
    $disk->thaw;
    ok($killed->process->wait(10), 'and with the disk back it is gone') or diag $killed->process->describe;
};

subtest 'a disk that is full' => sub {
    my $a = start('full');
    $disk->fill;
    my $before = told('beam.smp', 'out');
    is_quick(ask($a, $beta_ip, SOME), 'the node goes on');
    wait_until('lines are lost', 10, sub { dropped_so_far($a->pid) > 0 });
    $disk->relieve;
    ask($a, $beta_ip, 4);
    all_told('beam.smp', 'out', $before + SOME + 4, 'afterwards each line is there, or told as dropped');
    $a->stop;
};

subtest 'what cannot block has no thread' => sub {
    my $pipe = $alpha->dir . '/pipe';
    $alpha->must('mkfifo', $pipe);
    my $reader = $alpha->spawn('sh', '-c', 'exec cat <>"$0"', $pipe);    # to which nothing is the end
    my %threads = (syslog => 0, stderr => 0, file => 1);
    for my $target (sort keys %threads) {
        $alpha->shim(conf => { log => { target => $target eq 'file' ? 'stderr' : $target } });
        my $stderr = $target eq 'file' ? $alpha->dir . '/stderr' : $pipe;
        my $a = $alpha->node($target, long => 1, shim => 1, @args, as => ['sh', '-c', 'exec "$@" 2>"$0"', $stderr]);
        ask($a, $beta_ip, 4);
        is(threads($a->pid), $threads{$target}, $target eq 'file' ? 'but stderr has one where it is a file' : $target);
        $a->stop;
    }
    like($reader->out, qr/distguard\[beam\.smp\]: event=admitted/, 'a pipe gets its lines') or diag $reader->describe;
};

done_testing;
