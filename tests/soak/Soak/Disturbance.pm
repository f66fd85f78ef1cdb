# What is done to the cluster, one after the other: the deck is gone through again and again, with a pause after each. Each
# does its harm, and undoes it; who is hit, and for how long, comes from the run's seed.
package Soak::Disturbance;
use strict;
use warnings;
use Distguard::Lab::Process;

# A cut that connections survive, and one that ends them (Soak::Cluster::TICK_TIME).
use constant {
    SHORT => [1, 4],
    LONG  => [14, 18],
    STALL => [1, 4],
    DOWN  => [0.2, 3],
    RELOAD => 20,
    LOST_MAC => '02:00:00:00:00:01',    # nobody's
};

my @DECK = qw(disconnect rotation kill policy cut stall rotation epmd half_cut rotation disconnect policy kill rotation long_cut);

# What a name in the deck counts as.
our %COUNTS_AS = (half_cut => 'cut', long_cut => 'cut');

sub new {
    my ($class, $run, %option) = @_;
    return bless { run => $run, cluster => $run->{cluster}, next => 0, done => {}, %option }, $class;
}

# Does the next that fits into the seconds that are left; its name.
sub next {
    my ($self, $left) = @_;
    for (1 .. @DECK) {
        my $name = $DECK[ $self->{next}++ % @DECK ];
        next if $name eq 'long_cut' && $left < 60;
        my $what = $self->$name;
        $self->{done}{ $COUNTS_AS{$name} // $name }++;
        return ($COUNTS_AS{$name} // $name, $what);
    }
}

sub disturbs { my ($self) = @_; $DECK[ $self->{next} % @DECK ] !~ /^(?:rotation|policy)$/ }

sub done { $_[0]{done} }

sub any { my ($self, @from) = @_; $from[rand @from] }

sub between { my ($self, $range) = @_; $range->[0] + rand($range->[1] - $range->[0]) }

# The first member lives through everything: its memory and descriptors are those of the whole run.
sub victim {
    my ($self) = @_;
    my (undef, @victims) = $self->{cluster}->members;
    return $self->any(@victims);
}

sub pair {
    my ($self) = @_;
    my $one = $self->any($self->{cluster}->members);
    return ($one, $self->any($self->{cluster}->others($one)));
}

# --- what there is ---

sub disconnect {
    my ($self) = @_;
    my ($one, $other) = $self->pair;
    $one->{node}->call('erlang:disconnect_node(' . $other->{node}->atom . ')');
    return "$one->{name} disconnects $other->{name}";
}

sub kill {
    my ($self) = @_;
    my ($cluster, $victim) = ($self->{cluster}, $self->victim);
    $cluster->kill($victim);
    $self->{run}->go_on($self->between(DOWN));
    $cluster->start($victim);
    $cluster->work($victim);
    $self->{run}->aim_strangers;
    return "$victim->{name} killed";
}

sub epmd {
    my ($self) = @_;
    my $victim = $self->victim;
    $self->{cluster}->kill_epmd($victim);
    $self->{run}->go_on($self->between(DOWN));
    $self->{cluster}->start_epmd($victim);
    my $known = sub { $victim->{host}->must(qw(epmd -names)) =~ /^name ${\Soak::Cluster::NODE} /m };
    $self->{run}->go_on(20, $known) or $self->{run}->found("the node of $victim->{name} does not register with its new epmd");
    return "epmd of $victim->{name} killed";
}

sub stall {
    my ($self) = @_;
    my $victim = $self->any($self->{cluster}->members);
    $victim->{stopped} = 1;
    CORE::kill STOP => $victim->{node}->pid;
    $self->{run}->go_on($self->between(STALL));
    CORE::kill CONT => $victim->{node}->pid;
    $victim->{stopped} = 0;
    return "$victim->{name} stopped for a while";
}

# Packets for the other leave for nobody, as behind a firewall that drops them.
sub sever {
    my ($self, $seconds, @directions) = @_;
    $_->[0]{host}->must(qw(ip neigh replace), $_->[1]{host}->ip, 'lladdr', LOST_MAC, qw(nud permanent dev eth0)) for @directions;
    $self->{run}->go_on($seconds);
    $_->[0]{host}->must(qw(ip neigh del), $_->[1]{host}->ip, qw(dev eth0)) for @directions;
}

sub cut {
    my ($self) = @_;
    my ($one, $other) = $self->pair;
    $self->sever(my $seconds = $self->between(SHORT), [$one, $other], [$other, $one]);
    return sprintf '%s and %s cut for %.1f s', $one->{name}, $other->{name}, $seconds;
}

sub half_cut {
    my ($self) = @_;
    my ($one, $other) = $self->pair;
    $self->sever(my $seconds = $self->between(SHORT), [$one, $other]);
    return sprintf 'from %s to %s cut for %.1f s', $one->{name}, $other->{name}, $seconds;
}

sub long_cut {
    my ($self) = @_;
    my ($one, $other) = $self->pair;
    $self->sever(my $seconds = $self->between(LONG), [$one, $other], [$other, $one]);
    return sprintf '%s and %s cut for %.1f s', $one->{name}, $other->{name}, $seconds;
}

sub rotation {
    my ($self) = @_;
    return $self->reloaded(sub { $self->{cluster}->credentials->rotate });
}

sub policy {
    my ($self) = @_;
    return $self->reloaded(sub { $self->{cluster}->credentials->next_policy });
}

# Replaces files, and waits until all programs have read them: they look as connections are made, which strangers do all the
# while.
sub reloaded {
    my ($self, $replace) = @_;
    my $run    = $self->{run};
    my %before = $run->generations;
    my $what   = $replace->();
    my @late;
    my $all = sub {
        my %now = $run->generations;
        @late = grep { exists $now{$_} && $now{$_} <= $before{$_} } keys %before;
        return !@late;
    };
    if (!$run->go_on(RELOAD, $all)) {
        my %life = $self->{cluster}->by_pid;
        $run->found("$what: not read anew by " . join ', ', map { "$life{$_}{program} of $life{$_}{host}" } @late);
    }
    return $what;
}

1;
