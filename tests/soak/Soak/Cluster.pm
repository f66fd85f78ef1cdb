# The three guarded nodes, each on a host of its own with a guarded epmd, and all that is known of every process that ran
# for them: a program has as many lives as it was started times.
package Soak::Cluster;
use strict;
use warnings;
use Distguard::Lab::Epmd qw(epmd_pid start_epmd_daemon);
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_until);
use Soak::Credentials;

use constant {
    NODE      => 'n',
    TICK_TIME => 8,    # seconds: a cut that is longer ends a connection
};

# Figures of a node that are not sums.
my %MOMENTARY = map { $_ => 1 } qw(erlang_memory processes ports streams open slowest_ms);

# new($lab, traffic => the arguments of soak:start behind the peers, clock => sub, found => sub)
sub new {
    my ($class, $lab, %option) = @_;
    my $self = bless { %option, lab => $lab, lives => [], members => [] }, $class;
    my @hosts = map { $lab->host($_) } qw(alpha beta gamma);
    $self->{credentials} = Soak::Credentials->new($lab, \@hosts);
    $self->{members} = [map { { host => $_, name => $_->name } } @hosts];
    return $self;
}

sub members     { @{ $_[0]{members} } }
sub lives       { @{ $_[0]{lives} } }
sub credentials { $_[0]{credentials} }

sub others { my ($self, $member) = @_; grep { $_ != $member } $self->members }

# All nodes run before any begins, as those that are called have to be there.
sub begin {
    my ($self) = @_;
    $self->start($_) for $self->members;
    $self->work($_) for $self->members;
}

sub start {
    my ($self, $member) = @_;
    my $host = $member->{host};
    # One heap of the C library, which the core and OpenSSL live on: the emulator has allocators of its own.
    $member->{node} = $host->node(NODE, long => 1, shim => 1, env => { MALLOC_ARENA_MAX => 1 },
        args => [qw(-kernel net_ticktime), TICK_TIME]);
    $self->live($member, 'beam', $member->{node}->pid);
    $self->know_epmd($member);
}

sub know_epmd {
    my ($self, $member) = @_;
    my $pid = epmd_pid($member->{host});
    $self->live($member, 'epmd', $pid) if !$member->{epmd} || $member->{epmd}{pid} != $pid;
}

sub live {
    my ($self, $member, $program, $pid) = @_;
    push @{ $self->{lives} }, $member->{$program} = {
        host => $member->{name}, program => $program, pid => $pid, began => $self->{clock}->(), ended => undef, report => {},
        status => {},
    };
}

sub work {
    my ($self, $member) = @_;
    my $peers = join ', ', map { NODE . '@' . $_->{host}->place } $self->others($member);
    $peers =~ s/([^, ]+)/'$1'/g;
    $member->{node}->call("soak:start([$peers], $self->{traffic})");
}

# --- ends ---

sub end {
    my ($self, $member, $program) = @_;
    $member->{$program}{ended} = $self->{clock}->();
}

sub kill {
    my ($self, $member) = @_;
    $self->end($member, 'beam');
    $member->{node}->kill;
}

# epmd is its own master: nobody's child that could be waited for.
sub kill_epmd {
    my ($self, $member) = @_;
    $self->end($member, 'epmd');
    CORE::kill KILL => $member->{epmd}{pid};
    wait_until("epmd of $member->{name} is gone", 10, sub { $member->{host}->must(qw(ss -Htlnp)) !~ /"epmd"/ });
}

sub start_epmd {
    my ($self, $member) = @_;
    my $host = $member->{host};
    start_epmd_daemon($host, shim => 1, env => { MALLOC_ARENA_MAX => 1 });
    $self->know_epmd($member);
}

# Those whose VM has ended although nobody ended it.
sub dead {
    my ($self) = @_;
    return grep { !defined $_->{beam}{ended} && !$_->{node}->alive } $self->members;
}

# --- what they say ---

sub running { my ($self) = @_; grep { !$_->{stopped} && !defined $_->{beam}{ended} && $_->{node}->alive } $self->members }

# Asks the node of each member at once: the members with their answers, undef from who gives none.
sub everywhere {
    my ($self, $expression, @members) = @_;
    my @asked = map { my $node = $_->{node}; my $id = eval { $node->begin($expression) }; defined $id ? [$_, $id] : () }
        @members ? @members : $self->running;
    return map { [$_->[0], $self->answer(@$_)] } @asked;
}

# A VM that lives and says nothing hangs.
sub answer {
    my ($self, $member, $id) = @_;
    my $answer = eval { $member->{node}->result($id) };
    $self->{found}->("$member->{name}: $@") if !defined $answer && $member->{node}->alive;
    return $answer;
}

sub ask_reports {
    my ($self) = @_;
    for ($self->everywhere('soak:report()')) {
        my ($member, $report) = @$_;
        next if !defined $report;
        my $life = $member->{beam};
        my $before = $life->{report}{findings} // 0;
        $life->{report} = { $report =~ /\{(\w+),(\d+)\}/g };
        # At once: who is killed next takes them along.
        $self->ask_findings($member) if $life->{report}{findings} > $before;
    }
}

sub ask_findings {
    my ($self, $member) = @_;
    for ($self->everywhere('soak:findings()', $member)) {
        my ($told, $answer) = ($member->{beam}{told} // 0, $_->[1] // next);
        my @all = $answer =~ /(\{\d{13},.*?)(?=,\{\d{13},|\]\z)/g;
        $self->{found}->("$member->{name}: $_") for @all[$told .. $#all];
        $member->{beam}{told} = @all;
    }
}

# A sum over all lives, or the greatest.
sub figure {
    my ($self, $name) = @_;
    my $answer = 0;
    for my $value (map { $_->{report}{$name} // 0 } $self->lives) {
        $answer = $MOMENTARY{$name} ? ($answer > $value ? $answer : $value) : $answer + $value;
    }
    return $answer;
}

# All nodes are connected to each other, every stream is open.
sub is_whole {
    my ($self) = @_;
    my @members = $self->members;
    return 0 if $self->running != @members;
    my @said = map { $_->[1] // '' } $self->everywhere('{length(nodes()), soak:report()}');
    return !grep { !/^\{${\($#members)},/ || !/\{streams,(\d+)\}.*\{open,\1\}/ || $1 == 0 } @said;
}

sub calm {
    my ($self, $number) = @_;
    $self->everywhere("soak:calm($number)");
}

# Pid => life of those that run.
sub by_pid {
    my ($self) = @_;
    return map { $_->{pid} => $_ } grep { !defined $_->{ended} } $self->lives;
}

1;
