# What is done to the cluster, one after the other: the deck is gone through again and again, with a pause after each. Each
# does its harm, and undoes it; who is hit, and for how long, comes from the run's seed.
package Soak::Disturbance;
use strict;
use warnings;
use Soak::Cluster;

# Seconds, from and to. Connections survive a short cut, and end by a long one (Soak::Cluster::TICK_TIME).
use constant {
    SHORT    => [1, 4],
    LONG     => [14, 18],
    STALL    => [1, 4],
    DOWN     => [0.2, 3],
    RELOAD   => 20,                     # within these
    REGISTER => 20,
    LOST_MAC => '02:00:00:00:00:01',    # nobody's
};

my @DECK = qw(disconnect rotation kill policy cut stall rotation epmd half_cut rotation disconnect policy kill rotation
    long_cut);

my %COUNTS_AS = (half_cut => 'cut', long_cut => 'cut');

sub new {
    my ($class, $run, %option) = @_;
    return bless { run => $run, cluster => $run->{cluster}, next => 0, done => {}, %option }, $class;
}

# Does the next that fits into the seconds that are left; what it counts as.
sub next {
    my ($self, $left) = @_;
    my $name;
    do { $name = $DECK[ $self->{next}++ % @DECK ] } while $name eq 'long_cut' && $left < LONG->[1] * 3;
    $self->$name;
    my $kind = $COUNTS_AS{$name} // $name;
    $self->{done}{$kind}++;
    return $kind;
}

sub disturbs { my ($self) = @_; $DECK[ $self->{next} % @DECK ] !~ /^(?:rotation|policy)$/ }

sub done { $_[0]{done} }

sub says { my ($self, $what) = @_; $self->{run}{phase} = $what }

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
    $self->says("$one->{name} disconnects $other->{name}");
    $one->{node}->call('erlang:disconnect_node(' . $other->{node}->atom . ')');
}

sub kill {
    my ($self) = @_;
    my ($cluster, $victim) = ($self->{cluster}, $self->victim);
    $self->says("$victim->{name} is killed");
    $cluster->kill($victim);
    $self->{run}->go_on($self->between(DOWN));
    $cluster->start($victim);
    $cluster->work($victim);
    $self->{run}->crowd->aim;
}

sub epmd {
    my ($self) = @_;
    my $victim = $self->victim;
    $self->says("EPMD of $victim->{name} is killed");
    $self->{cluster}->kill_epmd($victim);
    $self->{run}->go_on($self->between(DOWN));
    $self->{cluster}->start_epmd($victim);
    my $known = sub { $victim->{host}->must(qw(epmd -names)) =~ /^name ${\Soak::Cluster::NODE} /m };
    $self->{run}->go_on(REGISTER, $known)
        or $self->{run}->found("the node of $victim->{name} does not register with its new EPMD");
}

sub stall {
    my ($self) = @_;
    my $victim = $self->any($self->{cluster}->members);
    $self->says("$victim->{name} stands still");
    $victim->{stopped} = 1;
    CORE::kill STOP => $victim->{node}->pid;
    $self->{run}->go_on($self->between(STALL));
    CORE::kill CONT => $victim->{node}->pid;
    $victim->{stopped} = 0;
}

sub cut      { $_[0]->sever(SHORT, 'and', 1) }
sub half_cut { $_[0]->sever(SHORT, 'to', 0) }
sub long_cut { $_[0]->sever(LONG, 'and', 1) }

# Packets for the other leave for nobody, as behind a firewall that drops them.
sub sever {
    my ($self, $range, $word, $both) = @_;
    my ($one, $other) = map { $_->{host} } $self->pair;
    my $seconds = $self->between($range);
    $self->says(sprintf '%s %s %s cut for %.1f s', $one->name, $word, $other->name, $seconds);
    my @directions = ([$one, $other], $both ? [$other, $one] : ());
    $_->[0]->must(qw(ip neigh replace), $_->[1]->ip, 'lladdr', LOST_MAC, qw(nud permanent dev eth0)) for @directions;
    $self->{run}->go_on($seconds);
    $_->[0]->must(qw(ip neigh del), $_->[1]->ip, qw(dev eth0)) for @directions;
}

sub rotation {
    my ($self) = @_;
    $self->replaced(sub { $self->{cluster}->credentials->rotate });
}

sub policy {
    my ($self) = @_;
    $self->replaced(sub { $self->{cluster}->credentials->next_policy });
}

# Replaces files, and waits until all programs have read them: they look as connections are made, which strangers do all the
# while.
sub replaced {
    my ($self, $replace) = @_;
    my $run    = $self->{run};
    my %before = $run->generations;
    my $what   = $replace->();
    $self->says($what);
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
}

1;
