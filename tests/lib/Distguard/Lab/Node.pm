# A real Erlang node, and a way to talk to it that is not distribution.
#
# The node runs dg_lab_control (tests/lib/erlang), which reads expressions from descriptor 3 and writes what they
# evaluate to on descriptor 4: two pipes, untouched by anything that intercepts sockets.
package Distguard::Lab::Node;
use strict;
use warnings;
use Carp qw(croak);
use Distguard::Lab::Epmd qw(start_as_erl_does);
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use POSIX ();
use Scalar::Util qw(weaken);
use Time::HiRes qw(time);

use constant {
    COOKIE       => 'lab',
    START_LIMIT  => 30,
    ANSWER_LIMIT => 60,
};

# Busy waiting would only take the processor from the other nodes, and hide a busy loop that is ours.
my @QUIET = qw(+sbwt none +sbwtdcpu none +sbwtdio none);

# Where a sanitizer looks for leaks as a program ends, the script's nodes end in good order. Else they are killed with it.
# Who lets go of a node ends it (its requests come to their end): so this list does not hold it.
my @guarded;

END {
    local $?;
    if ($ENV{DISTGUARD_LAB_AHEAD}) {
        my @left = grep { $_ && $_->alive } @guarded;
        for my $node (@left) { eval { $node->begin('init:stop()') } }
        $_->process->wait(10) for @left;
    }
}

# Connections are made by net_kernel:connect_node alone. Without this, who has just been disconnected may come back by
# itself: the rpc server of OTP sends a message to every node that it is told of, even if that is gone by then.
my @EXPLICIT = qw(-connect_all false -kernel dist_auto_connect never);

# What a run of the matrix adds to every node.
my @EVERYWHERE = split ' ', $ENV{DISTGUARD_LAB_ERL_ARGS} // '';

# start(host => ..., name => 'a' or 'a@b', or undef for a node that is not distributed; long => 1 for -name, else
#       -sname; shim => 1; native => 1 or {...} for OTP's own TLS (see native_args in Distguard::Lab::Host); otp => 25,
#       27 or 29 for another OTP than the machine's; explicit => 1 for one that connects to no node unless it is told to,
#       so that nodes stay apart once they are disconnected; args => [...]; env => {...}; as => [command prefix])
sub start {
    my ($class, %option) = @_;
    my ($host, $otp) = @option{qw(host otp)};
    my $self = bless { host => $host, shim => $option{shim}, replies => {}, last_request => 0 }, $class;

    my @name;
    if (defined $option{name}) {
        @name = ($option{long} ? '-name' : '-sname', $option{name});
        $self->{name} = $option{name} =~ /@/ ? $option{name} : "$option{name}\@" . $host->name;
    }
    my @argv = (@{ $option{as} // [] }, 'erl', @name, '-setcookie', COOKIE, qw(-noshell -noinput), @QUIET,
        '-pa', defined $otp ? $host->lab->tree($otp)->erlang_dir($host) : $host->lab->erlang_dir,
        @EVERYWHERE, ($option{explicit} ? @EXPLICIT : ()), ($option{native} ? $host->native_args($option{native}) : ()),
        @{ $option{args} // [] }, qw(-s dg_lab_control start));

    my %env = (($option{shim} ? $host->shim_env($otp) : ()), %{ $option{env} // {} });
    start_as_erl_does($host, otp => $otp, env => \%env, as => $option{as}) if @name && "@argv" !~ /-start_epmd false/;

    pipe(my $their_requests, $self->{requests}) or croak "pipe: $!";
    pipe($self->{answers}, my $their_answers) or croak "pipe: $!";
    $self->{requests}->autoflush(1);
    $self->{process} = $host->start_process(\@argv,
        otp   => $otp,
        env   => \%env,
        pipes => { 3 => $their_requests, 4 => $their_answers });
    weaken($guarded[@guarded] = $self) if $option{shim};
    return $self;
}

# Waits until the node answers; dies with what it printed if it does not.
sub wait_up {
    my ($self) = @_;
    $self->{up} = eval { $self->result(0, START_LIMIT) } // croak "the node did not start: $@";
    $self->fail('the library is not in the node: the loader skipped it') if $self->{shim} && !$self->guarded;
    return $self;
}

# The value of an Erlang expression, printed as by io:format("~0tp"). Dies where the evaluation raises.
sub call {
    my ($self, $expression, $seconds) = @_;
    return $self->result($self->begin($expression), $seconds);
}

# Starts evaluating, in a process of its own; result() waits for the value.
sub begin {
    my ($self, $expression) = @_;
    my $id = ++$self->{last_request};
    $expression =~ s/\s*\.?\s*\z/./;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $self->{requests}, pack('N/a*', pack('N a*', $id, $expression)) or $self->fail("it takes no requests: $!");
    $self->{expression}{$id} = $expression;
    return $id;
}

sub result {
    my ($self, $id, $seconds) = @_;
    $seconds //= ANSWER_LIMIT;
    my $deadline = time + $seconds;
    while (!$self->{replies}{$id}) {
        my $left = $deadline - time;
        $self->fail("no answer within $seconds s to " . ($self->{expression}{$id} // 'its start')) if $left <= 0;
        my $readable = '';
        vec($readable, fileno $self->{answers}, 1) = 1;
        select($readable, undef, undef, $left) > 0 or next;
        $self->read_reply;
    }
    my ($kind, $value) = @{ delete $self->{replies}{$id} };
    $self->fail("$self->{expression}{$id} raised $value") if $kind eq 'e';
    return $value;
}

sub read_reply {
    my ($self) = @_;
    my $size = unpack 'N', $self->read_exactly(4);
    my ($id, $kind, $value) = unpack 'N a a*', $self->read_exactly($size);
    utf8::decode($value);
    $self->{replies}{$id} = [$kind, $value];
}

sub read_exactly {
    my ($self, $size) = @_;
    my $bytes = '';
    while (length $bytes < $size) {
        sysread($self->{answers}, $bytes, $size - length $bytes, length $bytes) or do {
            $self->{process}->wait(10);
            $self->fail('the node is gone');
        };
    }
    return $bytes;
}

sub fail {
    my ($self, $what) = @_;
    croak join "\n", $what, $self->{process}->describe, 'log of the shim:', $self->{host}->log, '';
}

sub name    { $_[0]{name} }
sub atom    { "'$_[0]{name}'" }                # as Erlang writes it
sub host    { $_[0]{host} }
sub process { $_[0]{process} }
sub alive   { $_[0]{process}->running }

# erl is a chain of exec: its process is the emulator's.
sub pid { $_[0]{process}->pid }

sub kill { $_[0]{process}->kill }

# An orderly end.
sub stop {
    my ($self) = @_;
    eval { $self->begin('init:stop()') };
    $self->{process}->wait(20) or $self->kill;
}

# Whether the core library is in the process, or would be but for a control run.
sub guarded {
    my ($self) = @_;
    return 1 if !$self->{host}->shim_env;
    return Distguard::Lab::Process::slurp("/proc/${\$self->pid}/maps") =~ m{/libdistguard-core\.so};
}

# Open descriptors.
sub fds {
    my ($self) = @_;
    opendir(my $dir, "/proc/${\$self->pid}/fd") or croak "descriptors: $!";
    return scalar grep { !/^\./ } readdir $dir;
}

# The folders in /proc of its threads of that name.
sub threads {
    my ($self, $name) = @_;
    return map {s{/comm$}{}r} grep { Distguard::Lab::Process::slurp($_) eq "$name\n" } glob "/proc/${\$self->pid}/task/*/comm";
}

# A figure of /proc/PID/status, in KiB: VmRSS, VmData, ...
sub memory {
    my ($self, $figure) = @_;
    return Distguard::Lab::Process::slurp("/proc/${\$self->pid}/status") =~ /^$figure:\s*(\d+)/m ? $1 : undef;
}

# Seconds of processor time used so far.
sub cpu {
    my ($self) = @_;
    my ($after_name) = Distguard::Lab::Process::slurp("/proc/${\$self->pid}/stat") =~ /\) (.*)/;
    my @field = split ' ', $after_name;
    return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

1;
