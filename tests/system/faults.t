#!/usr/bin/perl
# A bad network between two nodes (tests/tools/fault-proxy): what comes to EPMD and to the other node comes in other pieces,
# late, changed, twice, not at all, is cut off or stands still, in the handshakes or behind them, as a seed says that is
# printed. Whatever happens: what arrives is a prefix of what was sent; a lost connection is noticed on both sides; the next
# message makes a new one; nothing is in plaintext, and nothing stays behind.
#
#     make test-faults RUNS=500 [TLS=1.2] [SEED=N]     SEED=N RUNS=1 repeats the run of this seed
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Faults qw(drawn is_final describe_run);
use Distguard::Lab;
use Distguard::Lab::Epmd qw(EPMD_PORT epmd_pid fds_of median memory_of);
use Distguard::Lab::FaultProxy;
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use List::Util qw(max sum);
use Test::More;
use Time::HiRes qw(time);

use constant {
    RUNS        => $ENV{RUNS} // 40,
    TLS         => $ENV{TLS} // '1.3 1.2',
    SEED        => $ENV{SEED} // int(time) % 1_000_000_000,
    NODE_PORT   => 9500,
    TICK_TIME   => 3,
    SETUP_TIME  => 3,
    REACH       => 10_000,   # milliseconds
    MARK        => 'Winnetou and Old Shatterhand',
};

# Seconds until a loss is noticed on both sides: the tick time, and what a loaded machine needs.
our $notice = 10;

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $middle) = map { $lab->host($_) } qw(alpha beta middle);
my @hosts = ($alpha, $beta);

# On each host the name of the other leads to the one in the middle, and its address nowhere.
for my $pair ([$alpha, $beta], [$beta, $alpha]) {
    my ($host, $other) = @$pair;
    my $names = $lab->temp_path('hosts');
    open(my $file, '>', $names) or die "$names: $!\n";
    print {$file} "127.0.0.1 localhost\n", map { ($_->[1]->ip . ' ', $_->[0]->name . '.lab ', $_->[0]->name . "\n") }
        [$host, $host], [$other, $middle];
    close $file;
    $host->must('mount', '--bind', $names, '/etc/hosts');
    $host->must(qw(ip route add unreachable), $other->ip);
}
my $proxy = Distguard::Lab::FaultProxy->start($middle, \@hosts, [NODE_PORT, EPMD_PORT], [MARK, '@alpha.lab', '@beta.lab']);

# What may be kept: the VM's allocators come and go by megabytes; of libc's memory what is for ever used again, as sockets are.
my %GROWTH_KIB = (resident => 8192, libc => 32);

# Nothing happens; a few bytes.
my %QUIET = (plan => { node => [], epmd => [] }, fault => undef, at => undef);
my %SMALL = (%QUIET, sizes => [[1], [1]]);

# --- the nodes ---

# One scheduler and one arena, so that many allocators do not hide what is kept; libc keeps nothing back for itself, the VM's
# own memory is not from libc.
sub nodes {
    my (%option) = @_;
    my $malloc = 'glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0';
    my %kernel = (dist_auto_connect => 'never', net_ticktime => TICK_TIME, net_setuptime => SETUP_TIME,
        inet_dist_listen_min => NODE_PORT, inet_dist_listen_max => NODE_PORT);
    my @args = (qw(+S 1 +Musac false -connect_all false), map { ('-kernel', $_, $kernel{$_}) } sort keys %kernel);
    my %env = (GLIBC_TUNABLES => $malloc, %{ delete $option{env} // {} });
    my @nodes = map { $_->node('n@' . $_->name . '.lab', long => 1, args => \@args, env => \%env, %option) } @hosts;
    is($_->call('dg_lab_faults:start()'), 'ok', $_->name . ' is there') for @nodes;
    return @nodes;
}

sub stop_all {
    $_->stop for @_;
    $_->stop_epmd for @hosts;
}

my @STATE = qw(received sent doing connected ups downs down_at wrong);

sub state_of {
    my ($node) = @_;
    my %state;
    my $text = $node->call('dg_lab_faults:state()');
    @state{@STATE} = $text =~ /^\{(\d+),(\d+),(\w+),(\w+),(\d+),(\d+),(\d+),(.*)\}$/s or die "what is $text?\n";
    return \%state;
}

sub is_idle      { $_[0]{doing} eq 'idle' }
sub is_connected { $_[0]{connected} eq 'true' }    # or about to be

# Each with the state of both nodes, as soon as `condition` holds for them; or those that there were in the end.
sub when_states {
    my ($nodes, $seconds, $condition) = @_;
    my @states;
    my $holds = wait_for($seconds, sub {
        @states = map { state_of($_) } @$nodes;
        return $condition->(@states);
    });
    return ($holds, @states);
}

sub part {
    my ($nodes) = @_;
    $nodes->[0]->call('erlang:disconnect_node(' . $nodes->[1]->atom . ')');
    my ($parted) = when_states($nodes, $notice, sub { !grep { is_connected($_) || !is_idle($_) } @_ });
    return $parted;
}

# --- a run ---

# Tells all of what is about to come. Who connects is the run's `side`.
sub prepare {
    my ($nodes, $number, $run) = @_;
    for my $side (0, 1) {
        my ($peer, $sizes) = ($nodes->[ 1 - $side ]->atom, join ',', @{ $run->{sizes}[$side] });
        $nodes->[$side]->call("dg_lab_faults:prepare($number, $peer, [$sizes], 5000)");
    }
    $proxy->plan($_->[0], @{ $_->[1] }) for grep { @{ $_->[1] } } [NODE_PORT, $run->{plan}{node}], [EPMD_PORT, $run->{plan}{epmd}];
}

# Connects, and waits until all has arrived, or all is over; if something happened that no connection outlives, until it is over.
sub watch {
    my ($nodes, $run) = @_;
    my $side   = $run->{side};
    my $joined = $nodes->[$side]->call('net_kernel:connect_node(' . $nodes->[ 1 - $side ]->atom . ')') eq 'true';
    my $answered = time;
    my @count = map { scalar @$_ } @{ $run->{sizes} };
    my $whole = sub { !grep { $_[$_]{received} != $count[ 1 - $_ ] || !is_idle($_[$_]) } 0, 1 };
    my $over  = sub { (!$joined || $_[$side]{downs}) && !grep { is_connected($_) || !is_idle($_) } @_ };
    my ($ended, @states) = when_states($nodes, $notice, sub { $joined && $whole->(@_) || $over->(@_) });
    my @connections = $proxy->report;
    my %happened = map { %{ $_->{happened} } } @connections;
    my $final = %happened && is_final($run);
    ($ended, @states) = when_states($nodes, $notice, $over) if $final;
    return { joined => $joined, answered => $answered, count => \@count, whole => $whole->(@states) ? 1 : 0, ended => $ended,
        states => \@states, connections => \@connections, happened => \%happened, final => $final };
}

sub judge {
    my ($run, $saw) = @_;
    my ($joined, $happened, $states) = @$saw{qw(joined happened states)};
    my @wrong;
    push @wrong, 'nothing comes to an end' if !$saw->{ended};
    push @wrong, 'what is no prefix arrived' if grep { $_->{wrong} ne '[]' || $_->{ups} > 1 } @$states;
    push @wrong, 'more arrived than was sent' if grep { $states->[$_]{received} > $saw->{count}[ 1 - $_ ] } 0, 1;
    push @wrong, 'not all arrived' if $joined && !$saw->{whole} && (!%$happened || $run->{at} eq 'epmd');
    push @wrong, 'they do not meet' if !%$happened && !$joined;
    push @wrong, 'there was plaintext' if grep { @{ $_->{seen} } } @{ $saw->{connections} };
    push @wrong, 'the other was not spoken to' if !@{ $saw->{connections} };
    return @wrong;
}

# For the sum at the end.
sub remember {
    my ($seen, $run, $saw) = @_;
    $seen->{count}{$_}++ for map { /:(\w+)/ } keys %{ $saw->{happened} };
    $seen->{count}{'connections that failed'}++ if !$saw->{joined};
    $seen->{count}{'messages received'} += sum(map { $_->{received} } @{ $saw->{states} });
    return if !$saw->{final} || !$saw->{ended};
    my $noticed = max(($saw->{joined} ? () : $saw->{answered}), map { $_->{down_at} / 1000 } grep { $_->{downs} } @{ $saw->{states} });
    push @{ $seen->{ $run->{fault} =~ /half|close|reset/ ? 'hung up' : 'lost' } }, $noticed - (values %{ $saw->{happened} })[0];
}

# What is wrong with how a run went: nothing, in the best case; and what was seen of it.
sub run {
    my ($nodes, $number, $run, $seen) = @_;
    prepare($nodes, $number, $run);
    my $saw = watch($nodes, $run);
    my @wrong = judge($run, $saw);
    remember($seen, $run, $saw);
    if (%{ $saw->{happened} } && $saw->{ended}) {
        $proxy->finish;
        push @wrong, recovery($nodes, $number, $seen);
    }
    push @wrong, 'they do not part' if !part($nodes);
    $proxy->finish;
    return (\@wrong, $saw);
}

# The network is good again: an ordinary message gets through, and makes the connection that it takes.
sub recovery {
    my ($nodes, $number, $seen) = @_;
    my $from = $number % 2;
    my $took = $nodes->[$from]->call('dg_lab_faults:reach(' . $nodes->[ 1 - $from ]->atom . ', ' . REACH . ')');
    return 'no message gets through any more' if $took eq 'never';
    push @{ $seen->{reached} }, $took / 1000;
    my @plain = map { @{ $_->{seen} } } $proxy->report;
    return @plain ? 'there was plaintext' : ();
}

# --- what must not grow ---

sub processes { my ($nodes) = @_; return ((map { $_->pid } @$nodes), map { epmd_pid($_) } @hosts) }

sub descriptors { [map { fds_of($_) } @_] }

# Of each process, in KiB: all that it has, and what is in use of what libc gave, which is the library's and OpenSSL's. They
# tell that as they accept a connection (tests/peers/allocated.c), so each gets one.
sub memory {
    my ($nodes, @pids) = @_;
    for my $side (0, 1) {
        my ($wrong) = run($nodes, $side, { %SMALL, side => $side }, {});
        is_deeply($wrong, [], 'nothing happens: all is well');
    }
    $_->call('[erlang:garbage_collect(P) || P <- processes()], ok') for @$nodes;
    return {
        resident => [map { memory_of($_) } @pids],
        libc     => [map { Distguard::Lab::Process::slurp($lab->dir . "/allocated/$_") >> 10 } @pids],
    };
}

# Many small messages at once, until each node has the thread that sends what is held of them, with its memory.
sub flood {
    my ($nodes) = @_;
    my %many = (%SMALL, sizes => [[(1) x 300], [(1) x 300]]);
    for my $number (0 .. 19) {
        my ($wrong) = run($nodes, $number, { %many, side => $number % 2 }, {});
        is_deeply($wrong, [], 'a flood arrives');
        return if !grep { !$_->threads('distguard-send') } @$nodes;
    }
    fail('no flood is held');
}

# The connections that the processes themselves know of.
sub listed {
    my $answer = decode_json($alpha->run($lab->tool, 'status', '--json')->out);
    my %of = map { $_->{pid} => scalar @{ $_->{connections} // [] } } @{ $answer->{processes} };
    return [map { $of{$_} } @_];
}

# --- the checks themselves, where there is nothing to keep harm away ---

subtest 'control: without the library a flipped bit is delivered and seen, and so is plaintext' => sub {
    my @nodes = nodes();
    my %seen;
    my %large = (side => 0, sizes => [[1 << 20], [1]]);
    my ($wrong) = run(\@nodes, 1, { %large, %QUIET }, \%seen);
    is_deeply($wrong, ['there was plaintext'], 'the mark is seen');
    local $notice = TICK_TIME;
    my $fault = 'out:flip@100000:0';
    ($wrong, my $saw) = run(\@nodes, 2, { %large, plan => { node => [$fault], epmd => [] }, fault => $fault, at => 'node' }, \%seen);
    ok(scalar(grep { $_ eq 'what is no prefix arrived' } @$wrong), 'other bytes than were sent are noticed') or diag explain $wrong;
    like($saw->{states}[1]{wrong}, qr/other_bytes/, 'by their hash');
    is($seen{count}{flip}, 1, 'one bit was flipped');
    ok(scalar(grep { $_ eq 'nothing comes to an end' } @$wrong), 'that the connection stays is noticed') or diag explain $wrong;
    stop_all(@nodes);
};

# --- at work ---

# Two guarded nodes that speak this version of TLS, at most, and tell of their memory.
sub guarded_nodes {
    my ($version) = @_;
    my %tls = (handshake_timeout => '2.0', $version eq '1.2' ? (min_version => \'"1.2"') : ());
    $_->shim(conf => { tls => \%tls }) for @hosts;
    my %env = $alpha->shim_env;
    my @preloaded = ($env{LD_PRELOAD}, map { helper($_) } 'allocated', $version eq '1.2' ? 'tls12' : ());
    my $folder = $lab->dir . '/allocated';
    mkdir $folder;
    return nodes(shim => 1, env => { LD_PRELOAD => join(':', @preloaded), ALLOCATED_FOLDER => $folder });
}

sub helper {
    my ($name) = @_;
    my $library = $lab->dir . "/$name.so";
    $lab->must(qw(cc -D_GNU_SOURCE -shared -fPIC -o), $library, $lab->root . "/tests/peers/$name.c") if !-e $library;
    return $library;
}

# One run with what must hold behind it; true if all is well.
sub run_is_well {
    my ($nodes, $number, $version, $seen, $pids, $descriptors) = @_;
    my $run   = drawn(SEED + $number);
    my $began = time;
    my ($wrong, $saw) = eval { run($nodes, $number, $run, $seen) };
    $wrong //= ["a node does not answer: $@"];
    my $now;
    wait_for($notice, sub { "@{ $now = descriptors(@$pids) }" eq "@$descriptors" })
        or push @$wrong, "descriptors: from @$descriptors to @$now";
    return 1 if ok(!@$wrong, sprintf '%s (%.1f s)', describe_run($run), time - $began);
    diag join '; ', @$wrong;
    diag explain @$saw{qw(states connections)} if $saw;
    diag "to repeat it: make test-faults RUNS=1 TLS=$version SEED=$run->{seed}";
    return 0;
}

# So many runs, from the first seed on, until one fails.
sub runs {
    my ($version, $count) = @_;
    my @nodes = guarded_nodes($version);
    my @pids = processes(\@nodes);
    flood(\@nodes);
    my $memory = memory(\@nodes, @pids);    # the first connections make what later ones use again
    my $descriptors = descriptors(@pids);
    my $listed  = listed(@pids);
    my $settled = int($count / 4);
    my %seen;
    for my $number (0 .. $count - 1) {
        $memory = memory(\@nodes, @pids) if $number == $settled;
        run_is_well(\@nodes, $number, $version, \%seen, \@pids, $descriptors) or return stop_all(@nodes);
    }
    sum_up(\%seen);
    cmp_ok(median(@{ $seen{'hung up'} }), '<', TICK_TIME / 2, 'who is hung up on does not wait for a tick to notice')
        if @{ $seen{'hung up'} // [] } >= 5;
    is_deeply([processes(\@nodes)], \@pids, 'no node and no EPMD has died');
    is_deeply(listed(@pids), $listed, 'they list the same connections as in the beginning');
    my $after = memory(\@nodes, @pids);
    for my $kind (sort keys %GROWTH_KIB) {
        my @before = @{ $memory->{$kind} };
        my @growth = map { $after->{$kind}[$_] - $before[$_] } 0 .. $#pids;
        cmp_ok(max(@growth), '<', $GROWTH_KIB{$kind}, "$kind memory, from @before KiB, has grown by @growth since run $settled");
    }
    like(($alpha->log(qr/event=admitted/))[-1], qr/ version=TLSv\Q$version\E /, 'the version is the one meant');
    stop_all(@nodes);
}

sub sum_up {
    my ($seen) = @_;
    note "$_: $seen->{count}{$_}" for sort keys %{ $seen->{count} };
    for (['hung up', 'who is hung up on notices'], ['lost', 'other losses are noticed'], ['reached', 'the nodes meet again']) {
        my ($kind, $what) = @$_;
        my @seconds = @{ $seen->{$kind} // [] } or next;
        note sprintf '%s after %.2f s, in the median of %d, and %.2f s at most', $what, median(@seconds), scalar @seconds, max(@seconds);
    }
}

for my $version (split ' ', TLS) {
    my $count = $version eq '1.3' || $ENV{TLS} ? RUNS : int((RUNS + 3) / 4);
    subtest "TLS $version: $count runs, beginning with seed " . SEED() => sub {
        plan skip_all => 'a control run' if !$alpha->shim_env;
        runs($version, $count);
    };
}

done_testing;
