# A bad network between two hosts (tests/tools/fault-proxy), on a third one.
package Distguard::Lab::FaultProxy;
use strict;
use warnings;
use Carp qw(croak);
use IO::Handle;
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use Distguard::Lab::Wait qw(wait_until);

use constant ANSWER_LIMIT => 10;

# start($on, \@hosts, \@ports [, \@texts]): once it listens. Each of the two hosts must take its address for the other's.
sub start {
    my ($class, $on, $hosts, $ports, $texts) = @_;
    my $self = bless { answers => '' }, $class;
    socketpair($self->{control}, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or croak "socketpair: $!";
    $self->{control}->autoflush(1);
    my @argv = ($on->lab->root . '/tests/tools/fault-proxy', $on->place, (map { $_->place } @$hosts), @$ports,
        $texts ? ('--', @$texts) : ());
    $self->{process} = $on->start_process(\@argv, pipes => { 3 => $theirs });
    wait_until('the proxy listens', 10, sub {
        croak $self->{process}->describe if !$self->{process}->running;
        $self->{process}->out =~ /listening/;
    });
    return $self;
}

# What is to happen to the next connection to a port.
sub plan {
    my ($self, $port, @faults) = @_;
    $self->ask("plan $port @faults", qr/^planned$/);
}

# One hash for each connection since the last finish: port, from, out, back (bytes), happened ({ FAULT => time }), seen ([TEXT]).
sub report { $_[0]->connections('report') }
sub finish { $_[0]->connections('finish') }

sub connections {
    my ($self, $request) = @_;
    my @lines = $self->ask($request, qr/^done$/);
    return map {
        my ($port, $from, $rest) = /^(\d+) from (\S+): (.*)/ or croak "the proxy says: $_";
        my ($out, $back, @more) = split /, /, $rest;
        {
            port     => $port,
            from     => $from,
            out      => $out =~ s/^out //r,
            back     => $back =~ s/^back //r,
            happened => { map { /^(\S+) happened at (\S+)$/ } @more },
            seen     => [map { /^(.*) was seen$/ } @more],
        };
    } @lines;
}

# The lines of the answer before its last one.
sub ask {
    my ($self, $request, $last) = @_;
    syswrite $self->{control}, "$request\n" or croak "the proxy takes no orders: $!";
    my @lines;
    while (1) {
        while ($self->{answers} =~ s/^(.*)\n//) {
            return @lines if $1 =~ $last;
            push @lines, $1;
        }
        my $readable = '';
        vec($readable, fileno $self->{control}, 1) = 1;
        select($readable, undef, undef, ANSWER_LIMIT) > 0
            && sysread($self->{control}, $self->{answers}, 65536, length $self->{answers})
            or croak "the proxy does not answer '$request': ", $self->{process}->describe;
    }
}

sub process { $_[0]{process} }

1;
