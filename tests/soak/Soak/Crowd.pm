# The strangers (../strangers), on a host of their own: where they are sent, and what became of them.
package Soak::Crowd;
use strict;
use warnings;
use Distguard::Lab::Epmd;
use Distguard::Lab::Reach qw(node_port);
use List::Util qw(sum0);
use Soak::Cluster;

use constant {
    ADDRESSES => 3,       # beside the first, that they come from
    LATEST    => 8192,    # bytes of what they say, at the end of it: one line for each kind at least
};

# new($lab, $cluster, $per_second). They begin to come with start.
sub new {
    my ($class, $lab, $cluster, $per_second) = @_;
    my $host = $lab->host('mob');
    return bless { lab => $lab, cluster => $cluster, per_second => $per_second, host => $host,
        targets => $host->dir . '/targets', tally => {} }, $class;
}

sub start {
    my ($self) = @_;
    my ($lab, $host, $cluster) = @$self{qw(lab host cluster)};
    my ($alpha) = $cluster->members;
    my $liar = $cluster->credentials->issue(0, $host, 'mob');
    $self->aim;
    $self->{process} = $host->spawn($lab->root . '/tests/soak/strangers', $self->{targets}, $self->{per_second},
        $lab->pki('nobody')->certificate_of($host), $liar, 'liar@' . $alpha->{host}->place,
        $host->ip, $host->more_addresses(ADDRESSES));
}

# Tells them where nodes listen now.
sub aim {
    my ($self) = @_;
    open(my $targets, '>', "$self->{targets}.new") or die "$self->{targets}: $!";
    for my $host (map { $_->{host} } $self->{cluster}->members) {
        my $port = eval { node_port($host, Soak::Cluster::NODE) };
        print {$targets} $host->ip, " $port distribution\n" if $port;
        print {$targets} $host->ip, ' ', Distguard::Lab::Epmd::EPMD_PORT, " epmd\n";
    }
    close $targets;
    rename "$self->{targets}.new", $self->{targets} or die "$self->{targets}: $!";
}

# What ended them, if they were not to end yet.
sub went_away {
    my ($self) = @_;
    return undef if !$self->{process} || $self->{process}->running;
    return (delete $self->{process})->describe;
}

sub stop {
    my ($self) = @_;
    my $process = $self->{process} or return;
    $process->stop;
    $self->tally;
    delete $self->{process};
    $self->{got} = [grep { / got / } split /^/, $process->out];
}

# What they got to see, and were not to; known when they have stopped.
sub got { my ($self) = @_; @{ $self->{got} // [] } }

# Kind => what its last line says.
sub tally {
    my ($self) = @_;
    if ($self->{process} && open(my $said, '<', $self->{process}{out})) {
        my $size = -s $said;
        seek $said, $size > LATEST ? $size - LATEST : 0, 0;
        while (<$said>) {
            my ($kind, %figure) = /^(\w+) (tried \d+ .* bytes \d+)$/ ? ($1, split ' ', $2) : next;
            $self->{tally}{$kind} = \%figure;
        }
    }
    return $self->{tally};
}

# Sums over all kinds.
sub totals {
    my ($self) = @_;
    my @kinds = values %{ $self->tally };
    return map { my $word = $_; ('strangers_' . $word =~ tr/-/_/r => sum0(map { $_->{$word} } @kinds)) }
        qw(tried turned-away absent stayed bytes);
}

# Their connections to the hosts of the cluster, as these see them.
sub left {
    my ($self) = @_;
    return join '', map { my $host = $_->{host}; grep { $self->is_stranger($_) } split /^/, $host->must(qw(ss -Htn)) }
        $self->{cluster}->members;
}

# A line of ss whose peer is neither a member nor of the same host.
sub is_stranger {
    my ($self, $line) = @_;
    my $peer = (split ' ', $line)[4] =~ s/:\d+$//r;
    return $peer !~ /^\[?(?:::ffff:)?127\./ && !grep { $peer =~ /\b\Q${\$_->{host}->ip}\E\]?$/ } $self->{cluster}->members;
}

1;
