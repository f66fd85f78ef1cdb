# One run: the cluster, what is done to it, the strangers, and an eye on all of it, once a second.
package Soak::Run;
use strict;
use warnings;
use Distguard::Lab::Epmd qw(cpu_of fds_of);
use Distguard::Lab::Process;
use JSON::PP qw(decode_json);
use List::Util qw(max min sum0);
use Soak::Cluster;
use Soak::Crowd;
use Soak::Disturbance;
use Time::HiRes qw(sleep time);

use constant {
    STEP          => 0.2,
    SAMPLES       => 360,    # of a whole run, but no more than one a second
    STATUS_PAUSE  => 2,
    WHOLE         => 90,     # seconds until a cluster that was disturbed must be whole again
    SETTLING      => 1,
    STRANGERS_GO  => 40,
    LAST_WORDS    => 3,
};

# new($lab, duration, traffic, strangers => per second, pause => between two disturbances, progress => sub)
sub new {
    my ($class, $lab, %option) = @_;
    my $self = bless { %option, lab => $lab, zero => time, samples => [], findings => [], events => [], phase => 'begins',
        calm => 0, next_second => 0, next_status => 0 }, $class;
    $self->{cluster} = Soak::Cluster->new($lab, traffic => $option{traffic}, clock => sub { $self->clock },
        found => sub { $self->found(@_) });
    $self->{crowd} = Soak::Crowd->new($lab, $self->{cluster}, $option{strangers});
    $self->{disturbance} = Soak::Disturbance->new($self);
    return $self;
}

sub clock   { time - $_[0]{zero} }
sub cluster { $_[0]{cluster} }
sub crowd   { $_[0]{crowd} }

sub found {
    my ($self, $what) = @_;
    push @{ $self->{findings} }, { at => $self->clock, what => $what };
}

# --- the course ---

# What makes the course impossible, as a node that does not come up again, is a finding, too.
sub run {
    my ($self) = @_;
    eval { $self->take_course; 1 } or $self->found("gave up: $@");
    $self->{began} //= 0;
    $self->{ended} //= $self->clock;
}

sub take_course {
    my ($self) = @_;
    $self->{cluster}->begin;
    $self->{otp} = ($self->{cluster}->members)[0]{node}->call('list_to_atom(erlang:system_info(otp_release))') =~ tr/'//dr;
    $self->await_whole;
    $self->quiet_descriptors('descriptors_before');
    $self->{crowd}->start;
    $self->{began} = $self->clock;
    $self->{interval} = max(1, $self->{duration} / SAMPLES);
    while ((my $left = $self->{began} + $self->{duration} - $self->clock) > 0) {
        $self->disturb($left);
        $self->{phase} = 'calm';
        $self->go_on(min($self->{pause}, max(0, $self->{began} + $self->{duration} - $self->clock)));
    }
    $self->{ended} = $self->clock;
    $self->{phase} = 'ends';
    $self->stop_strangers;
    $self->finish;
}

# What replaces files is no excuse for the end of a connection; anything else is.
sub disturb {
    my ($self, $left) = @_;
    my $disturbs = $self->{disturbance}->disturbs;
    $self->stop_calm if $disturbs;
    my $began = $self->clock;
    my $kind = $self->{disturbance}->next($left);
    $self->await_whole;
    push @{ $self->{events} }, { at => $began, until => $self->clock, kind => $kind, what => $self->{phase} };
}

sub stop_calm {
    my ($self) = @_;
    $self->{cluster}->calm(0);
}

sub await_whole {
    my ($self) = @_;
    $self->go_on(WHOLE, sub { $self->{cluster}->is_whole })
        or $self->found(WHOLE . " s after it was disturbed ($self->{phase}) the cluster is not whole");
    $self->go_on(SETTLING);
    $self->{cluster}->calm(++$self->{calm});
}

sub finish {
    my ($self) = @_;
    $self->go_on(SETTLING);
    $self->stop_calm;
    for ($self->{cluster}->everywhere('soak:finish()')) {
        my ($member, $answer) = @$_;
        $self->found("$member->{name}: streams end: " . ($answer // 'no answer')) if ($answer // '') ne 'finished';
    }
    $self->quiet_descriptors('descriptors_after');
    $self->{next_status} = 0;
    $self->second;
    $self->sample;
}

# Waits; with a condition, until that holds, and tells whether it does.
sub go_on {
    my ($self, $seconds, $condition) = @_;
    my $deadline = time + $seconds;
    while (1) {
        $self->second if $self->clock >= $self->{next_second};
        return 1 if $condition && $condition->();
        return 0 if time >= $deadline;
        sleep min(STEP, max(0.01, $deadline - time));
    }
}

# --- the eye ---

sub second {
    my ($self) = @_;
    $self->{next_second} = $self->clock + 1;
    $self->bury_dead;
    my $why = $self->{crowd}->went_away;
    $self->found("the strangers went away: $why") if defined $why;
    $self->{cluster}->ask_reports;
    if ($self->clock >= $self->{next_status}) {
        $self->{next_status} = $self->clock + STATUS_PAUSE;
        $self->ask_status;
    }
    $self->sample if $self->{began} && !$self->{ended} && $self->clock >= ($self->{next_sample} // 0);
    $self->{progress}->($self);
}

# A VM that ends by itself is a finding; the run goes on with a new one.
sub bury_dead {
    my ($self) = @_;
    for my $member ($self->{cluster}->dead) {
        $self->{died}++;
        $self->found("the VM of $member->{name} died by itself: " . $member->{node}->process->describe);
        $self->{cluster}->end($member, 'beam');
        $self->stop_calm;
        $self->{cluster}->start($member);
        $self->{cluster}->work($member);
        $self->{crowd}->aim;
    }
}

# What the guarded programs tell of themselves, by the tool.
sub ask_status {
    my ($self) = @_;
    my %life = $self->{cluster}->by_pid;
    open(my $answer, '-|', $self->{lab}->tool, qw(status --json)) or die "status: $!\n";
    my $said = eval { decode_json(do { local $/; <$answer> }) };
    close $answer;
    return %life if !$said;
    for my $process (@{ $said->{processes} }) {
        my $life = $life{ $process->{pid} } or next;
        if (!$process->{guarded}) {
            # It may just have ended.
            $self->found("$life->{program} of $life->{host} is not guarded: $process->{why_not}") if kill 0, $process->{pid};
            next;
        }
        $life->{status} = $process;
    }
    return %life;
}

# Pid => generation of the policy, of those that run.
sub generations {
    my ($self) = @_;
    my %life = $self->ask_status;
    return map { $_ => $life{$_}{status}{policy}{generation} } grep { $life{$_}{status}{policy} } keys %life;
}

sub sample {
    my ($self) = @_;
    my $cluster = $self->{cluster};
    $self->{next_sample} = $self->clock + $self->{interval};
    my $totals = $self->totals;
    push @{ $self->{samples} }, {
        at => $self->clock,
        (map { $_ => $totals->{$_} } qw(sent received bytes lost key_updates strangers_turned_away)),
        programs => [map { measure($_) } grep { !defined $_->{ended} } $cluster->lives],
    };
}

# KiB and seconds; nothing of who has just ended.
sub measure {
    my ($life) = @_;
    my $measured = eval {
        my $status = Distguard::Lab::Process::slurp("/proc/$life->{pid}/status");
        my ($resident) = $status =~ /^VmRSS:\s*(\d+)/m or die "gone\n";
        $life->{cpu} = cpu_of($life->{pid});
        +{ host => $life->{host}, program => $life->{program}, pid => $life->{pid}, rss => 0 + $resident,
            heap => heap($life->{pid}), fds => fds_of($life->{pid}), erlang => int(($life->{report}{erlang_memory} // 0) / 1024) };
    };
    return $measured // ();
}

# What is resident of the C library's heap. It may be several mappings: a daemon has one from before it was forked.
sub heap {
    my ($pid) = @_;
    return sum0(Distguard::Lab::Process::slurp("/proc/$pid/smaps") =~ /\[heap\]\n(?:\w+: .*\n)*?Rss:\s*(\d+)/g);
}

# Sums over all that ran.
sub totals {
    my ($self) = @_;
    my $cluster = $self->{cluster};
    my %total = map { $_ => $cluster->figure($_) } qw(sent received bytes cut_off unknown lost disorder damaged stuck
        requests answered broken_requests companions broken_companions wrong_companions names wrong_names
        connects breaks unexplained slowest_ms);
    my @status = map { $_->{status}{totals} // () } $cluster->lives;
    for my $name (qw(key_updates reloads failed_reloads log_lines_dropped)) {
        $total{$name} = sum0(map { $_->{$name} } @status);
    }
    $total{refused} = sum0(map { values %{ $_->{refused} } } @status);
    $total{cpu} = sum0(map { $_->{cpu} // 0 } $cluster->lives);
    %total = (%total, $self->{crowd}->totals);
    $total{$_} = $self->{disturbance}->done->{$_} // 0 for qw(kill epmd disconnect cut stall rotation policy);
    $total{died} = $self->{died} // 0;
    return \%total;
}

# Descriptors of each node while no stranger is there: who waits for a moment only does not count.
sub quiet_descriptors {
    my ($self, $when) = @_;
    my %least;
    for (1 .. 5) {
        for my $member ($self->{cluster}->members) {
            my $now = eval { fds_of($member->{node}->pid) } // next;
            $least{ $member->{name} } = min($now, $least{ $member->{name} } // $now);
        }
        $self->go_on(0.3);
    }
    $self->{$when} = \%least;
}

# They go; what is left of them in the nodes has to go, too.
sub stop_strangers {
    my ($self) = @_;
    my $crowd = $self->{crowd};
    $self->go_on(LAST_WORDS);
    $crowd->stop;
    $self->go_on(STRANGERS_GO, sub { $crowd->left eq '' })
        or $self->found('connections of strangers are left: ' . $crowd->left);
    $self->found("a stranger: $_") for $crowd->got;
}

1;
