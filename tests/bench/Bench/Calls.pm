# A process of calls.c, with the library or without: what a system call costs it.
package Bench::Calls;
use strict;
use warnings;
use IPC::Open2 qw(open2);
use List::Util qw(any);

my $program = 'calls';

# kind: read-write, in a program that the carrier guards; or exec, in one that it does not.
sub start {
    my ($class, $place, $carrier, $kind) = @_;
    my $self    = bless { kind => $kind, carrier => $carrier->name }, $class;
    my @command = ("$place->{temporary}/$program", $kind);

    local %ENV = (%ENV, %{ $carrier->environment });
    $ENV{DISTGUARD_PROGRAMS} = $program if $kind eq 'read-write';
    $self->{pid} = open2($self->{from}, $self->{to}, @command);
    $self->nanoseconds(1);
    $self->_prove;
    return $self;
}

# One call's, over that many.
sub nanoseconds {
    my ($self, $times) = @_;
    print { $self->{to} } "$times\n";
    my $answer = readline $self->{from};
    defined $answer && $answer =~ /^[\d.]+$/ or die "bench: $program $self->{kind} with $self->{carrier} has ended\n";
    return $answer + 0;
}

sub stop {
    my ($self) = @_;
    close $self->{to};
    waitpid $self->{pid}, 0;
}

# Without the library a process measures nothing of it; and /bin/true inherits what this one has.
sub _prove {
    my ($self) = @_;
    my $preloaded = $self->{carrier} eq 'distguard';
    my %wanted = (
        'libdistguard.so'      => $preloaded,
        'libdistguard-core.so' => $preloaded && $self->{kind} eq 'read-write',
    );
    open my $maps, '<', "/proc/$self->{pid}/maps" or die "bench: $program: /proc/$self->{pid}/maps: $!\n";
    my @maps = <$maps>;
    for my $library (sort keys %wanted) {
        next if !!$wanted{$library} == !!(any { m{/\Q$library\E$} } @maps);
        die "bench: $program $self->{kind} with $self->{carrier} ",
            $wanted{$library} ? "runs without $library: run `make` first\n" : "has $library\n";
    }
}

1;
