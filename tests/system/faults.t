#!/usr/bin/perl
# A bad network between two nodes (tests/tools/fault-proxy): what comes to EPMD and to the other node comes in other pieces,
# late, changed, twice, not at all, is cut off or stands still, in the handshakes or behind them, as a seed says that is
# printed. Whatever happens: what arrives is a prefix of what was sent; a lost connection is noticed on both sides; the next
# message makes a new one; nothing is in plaintext, and nothing stays behind.
#
#     make test-faults RUNS=500 [SEED=N]     SEED=N RUNS=1 repeats the run of this seed
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Faults qw(drawn is_final describe_run);
use Distguard::Lab;
use Distguard::Lab::Epmd qw(EPMD_PORT epmd_pid fds_of memory_of);
use Distguard::Lab::FaultProxy;
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use List::Util qw(max sum);
use Test::More;
use Time::HiRes qw(time);

use constant {
    RUNS        => $ENV{RUNS} // 40,
    SEED        => $ENV{SEED} // int(time) % 1_000_000_000,
    NODE_PORT   => 9500,
    TICK_TIME   => 2,
    SETUP_TIME  => 2,
    REACH       => 10_000,   # milliseconds
    GROWTH_KIB  => 8192,
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

# --- the nodes ---

# One scheduler, so that the allocators of many do not hide what is kept.
sub nodes {
    my (%option) = @_;
    my @args = (qw(+S 1 -connect_all false -kernel dist_auto_connect never -kernel net_ticktime), TICK_TIME, qw(-kernel net_setuptime), SETUP_TIME,
        qw(-kernel inet_dist_listen_min), NODE_PORT, qw(-kernel inet_dist_listen_max), NODE_PORT);
    my @nodes = map { $_->node('n@' . $_->name . '.lab', long => 1, args => \@args, %option) } @hosts;
    is($_->call('dg_lab_faults:start()'), 'ok', $_->name . ' is there') for @nodes;
    return @nodes;
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

# What is wrong with how a run went: nothing, in the best case. Tells in `seen` what there was to see.
sub run {
    my ($nodes, $number, $run, $seen) = @_;
    my @peers = reverse @$nodes;
    for my $side (0, 1) {
        my $sizes = join ',', @{ $run->{sizes}[$side] };
        $nodes->[$side]->call("dg_lab_faults:prepare($number, " . $peers[$side]->atom . ", [$sizes], 5000)");
    }
    $proxy->plan(NODE_PORT, @{ $run->{plan}{node} }) if @{ $run->{plan}{node} };
    $proxy->plan(EPMD_PORT, @{ $run->{plan}{epmd} }) if @{ $run->{plan}{epmd} };

    my $side = $run->{side};
    my $joined = $nodes->[$side]->call('net_kernel:connect_node(' . $peers[$side]->atom . ')') eq 'true';
    my @count = map { scalar @$_ } @{ $run->{sizes} };
    my $whole = sub { !grep { $_[$_]{received} != $count[ 1 - $_ ] || !is_idle($_[$_]) } 0, 1 };
    my $over  = sub { (!$joined || $_[$side]{downs}) && !grep { is_connected($_) || !is_idle($_) } @_ };
    my ($ended, @states) = when_states($nodes, $notice, sub { $joined && $whole->(@_) || $over->(@_) });
    my @connections = $proxy->report;
    my %happened = map { %{ $_->{happened} } } @connections;
    my $final = %happened && is_final($run);
    ($ended, @states) = when_states($nodes, $notice, $over) if $final;

    my @wrong;
    push @wrong, 'nothing comes to an end' if !$ended;
    push @wrong, 'what is no prefix arrived' if grep { $_->{wrong} ne '[]' || $_->{ups} > 1 } @states;
    push @wrong, 'more arrived than was sent' if grep { $states[$_]{received} > $count[ 1 - $_ ] } 0, 1;
    push @wrong, 'not all arrived' if $joined && !$whole->(@states) && (!%happened || $run->{at} eq 'epmd');
    push @wrong, 'they do not meet' if !%happened && !$joined;
    push @wrong, 'there was plaintext' if grep { @{ $_->{seen} } } @connections;
    push @wrong, 'the other was not spoken to' if !@connections;
    $seen->{$_} += 1 for map { /:(\w+)/ } keys %happened;
    if ($final && $ended) {
        my $took = max(map { $_->{down_at} / 1000 - (values %happened)[0] } grep { $_->{downs} } @states) // 0;
        $seen->{slowest} = max($seen->{slowest} // 0, $took);
    }
    $seen->{'handshake failed'}++ if !$joined;
    $seen->{messages} += sum(map { $_->{received} } @states);
    if (%happened && $ended) {
        $proxy->finish;
        push @wrong, recovery($nodes, $number, $seen);
    }
    push @wrong, 'they do not part' if !part($nodes);
    $proxy->finish;
    return (\@wrong, \@states, \@connections);
}

# The network is good again: an ordinary message gets through, and makes the connection that it takes.
sub recovery {
    my ($nodes, $number, $seen) = @_;
    my $from = $number % 2;
    my $took = $nodes->[$from]->call('dg_lab_faults:reach(' . $nodes->[ 1 - $from ]->atom . ', ' . REACH . ')');
    return 'no message gets through any more' if $took eq 'never';
    $seen->{'slowest to reconnect'} = max($seen->{'slowest to reconnect'} // 0, $took / 1000);
    my @plain = map { @{ $_->{seen} } } $proxy->finish;
    return @plain ? 'there was plaintext' : ();
}

# --- what must not grow ---

sub processes { my ($nodes) = @_; return ((map { $_->pid } @$nodes), map { epmd_pid($_) } @hosts) }

sub descriptors { [map { fds_of($_) } @_] }

sub memory {
    my ($nodes, @pids) = @_;
    $_->call('[erlang:garbage_collect(P) || P <- processes()], ok') for @$nodes;
    return [map { memory_of($_) } @pids];
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
    my %quiet = (seed => 0, side => 0, sizes => [[1 << 20], [1]], plan => { node => [], epmd => [] });
    my ($wrong) = run(\@nodes, 1, { %quiet }, \%seen);
    is_deeply($wrong, ['there was plaintext'], 'the mark is seen');
    local $notice = TICK_TIME;
    my $fault = 'out:flip@100000:0';
    ($wrong, my $states) = run(\@nodes, 2, { %quiet, plan => { node => [$fault], epmd => [] }, fault => $fault, at => 'node' }, \%seen);
    ok(scalar(grep { $_ eq 'what is no prefix arrived' } @$wrong), 'other bytes than were sent are noticed') or diag explain $wrong;
    like($states->[1]{wrong}, qr/other_bytes/, 'by their hash');
    is($seen{flip}, 1, 'one bit was flipped');
    ok(scalar(grep { $_ eq 'nothing comes to an end' } @$wrong), 'that the connection stays is noticed') or diag explain $wrong;
    $_->stop for @nodes;
    $_->stop_epmd for @hosts;
};

# --- at work ---

subtest RUNS . ' runs, beginning with seed ' . SEED() => sub {
    plan skip_all => 'a control run' if !$alpha->shim_env;
    $_->shim(conf => { tls => { handshake_timeout => '2.0' } }) for @hosts;
    my @nodes = nodes(shim => 1);
    my (%seen, $memory);
    my $harmless = { %{ drawn(SEED) }, plan => { node => [], epmd => [] } };
    for my $side (0, 1) {
        my ($wrong, $states) = run(\@nodes, $side, { %$harmless, side => $side }, {});
        is_deeply($wrong, [], 'warmed up') or diag explain $states;
    }
    my @pids = processes(\@nodes);
    my $descriptors = descriptors(@pids);
    my $listed = listed(@pids);
    my $begin = time;
    my $settled = int(RUNS / 4);
    my $failures = 0;
    for my $number (0 .. RUNS - 1) {
        my $run = drawn(SEED + $number);
        my $began = time;
        my ($wrong, $states, $connections) = run(\@nodes, $number, $run, \%seen);
        my $now;
        wait_for($notice, sub { "@{ $now = descriptors(@pids) }" eq "@$descriptors" })
            or push @$wrong, "descriptors: from @$descriptors to @$now";
        if (!ok(!@$wrong, sprintf '%s (%.1f s)', describe_run($run), time - $began)) {
            diag join '; ', @$wrong;
            diag explain $states, $connections;
            last if ++$failures == 3;
        }
        $memory = memory(\@nodes, @pids) if $number == $settled;
    }
    note sprintf '%.2f s each', (time - $begin) / RUNS;
    note "$_: $seen{$_}" for sort keys %seen;
    is_deeply([processes(\@nodes)], \@pids, 'no node and no EPMD has died');
    is_deeply(listed(@pids), $listed, 'they list the same connections as in the beginning');
    my $after = memory(\@nodes, @pids);
    my @growth = map { $after->[$_] - $memory->[$_] } 0 .. $#pids;
    note "memory since run $settled, from @$memory KiB: grown by @growth";
    cmp_ok(max(@growth), '<', GROWTH_KIB, 'memory') or diag "from @$memory to @$after";
};

done_testing;
