# One Erlang node: starts it, talks to it over its standard input and output, and reads what the kernel knows of it.
package Bench::Node;
use strict;
use warnings;
use IO::Handle;
use IO::Select;
use List::Util qw(sum);
use POSIX ();
use Time::HiRes qw(sleep time);

my $patience = 90;    # seconds an answer may take; a node that takes longer is stuck
my $look     = $ENV{QUICK} ? 0.02 : 0.4;    # seconds between looks at memory that is to come to rest
my $started  = 0;

# place: { temporary, erl }; carrier: a Bench::Carrier; arguments: more for erl.
sub start {
    my ($class, $place, $carrier, @arguments) = @_;
    my $name = sprintf 'n%03d', ++$started;    # never used twice: epmd may still remember the last one
    my $self = bless { name => "$name\@localhost", log => "$place->{temporary}/$name.log", unread => '' }, $class;

    pipe my $their_input,  my $to   or die "bench: cannot make a pipe: $!\n";
    pipe my $from,         my $their_output or die "bench: cannot make a pipe: $!\n";
    $self->{pid} = fork // die "bench: cannot fork: $!\n";
    if (!$self->{pid}) {
        open STDIN,  '<&', $their_input  or POSIX::_exit(126);
        open STDOUT, '>&', $their_output or POSIX::_exit(126);
        open STDERR, '>',  $self->{log}  or POSIX::_exit(126);
        %ENV = (%ENV, %{ $carrier->environment });
        exec { $place->{erl} } $place->{erl}, _arguments($place, $self->{name}), $carrier->arguments, @arguments
            or POSIX::_exit(127);
    }
    @$self{qw(to from)} = ($to, $from);
    $to->autoflush(1);
    return $self;
}

# No option that would change how distribution performs: what is measured is what a node does by default.
# -connect_all false keeps `global` from connecting everybody to everybody, in all carriers alike.
sub _arguments {
    my ($place, $name) = @_;
    return (
        qw(-noshell -boot start_clean -start_epmd false -connect_all false -setcookie bench -sname), $name,
        '-pa', $place->{temporary}, qw(-s dgbench)
    );
}

sub name { $_[0]{name} }
sub pid  { $_[0]{pid} }

# Waits until the node can take commands.
sub await_ready {
    my ($self) = @_;
    my $answer = $self->_answer;
    $answer eq "ready $self->{pid}"
        or $self->fail("answered '$answer' where 'ready $self->{pid}' was expected");
}

# Sends one command, an Erlang term without its full stop; returns the numbers of the answer.
sub call {
    my ($self, $command) = @_;
    $self->ask($command);
    return $self->answer($command);
}

# The two halves of call, for commands that several nodes do at the same time.
sub ask {
    my ($self, $command) = @_;
    print { $self->{to} } "$command.\n";
}

sub answer {
    my ($self, $command) = @_;
    my ($outcome, @numbers) = split ' ', my $answer = $self->_answer;
    $outcome eq 'ok' or $self->fail("could not do `$command`: $answer");
    @numbers = map { $_ + 0 } @numbers;
    return wantarray ? @numbers : $numbers[0];
}

sub stop {
    my ($self) = @_;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
    1 while waitpid(-1, POSIX::WNOHANG()) > 0;    # what it left to us, its init
}

# Processor time used until now, in seconds, all threads, user and system.
sub cpu_seconds {
    my ($self) = @_;
    my ($after_name) = $self->_proc('stat') =~ /.*\) (.*)/s;
    my ($user, $system) = (split ' ', $after_name)[ 11, 12 ];
    return ($user + $system) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Bytes of memory that are the process's own: of the proportional set size, what is not a file's.
sub memory {
    my ($self) = @_;
    $self->_proc('smaps_rollup') =~ /^Pss_Anon:\s+(\d+) kB/m
        or $self->fail('has no Pss_Anon in smaps_rollup; Linux has it from 5.4 on');
    return $1 * 1024;
}

# The memory of nodes together once it has stood still, within a thousandth, for four looks at it.
sub settled_memory {
    my (@nodes) = @_;
    my ($last, $still, $deadline) = (0, 0, time + 30);
    while ($still < 4) {
        time < $deadline or $nodes[0]->fail('is idle, alone or with others, and its memory does not come to rest');
        sleep $look;
        my $now = sum(map { $_->memory } @nodes);
        $still = abs($now - $last) < $last / 1000 ? $still + 1 : 0;
        $last  = $now;
    }
    return $last;
}

sub maps_file {
    my ($self, $base_name) = @_;
    return $self->_proc('maps') =~ m{/\Q$base_name\E$}m;
}

sub _proc {
    my ($self, $file) = @_;
    open my $handle, '<', "/proc/$self->{pid}/$file" or $self->fail("is gone: /proc/$self->{pid}/$file: $!");
    local $/;
    return scalar <$handle>;
}

# The next line that is meant for us; anything else that the node prints goes to its log.
sub _answer {
    my ($self) = @_;
    my $readable = IO::Select->new($self->{from});
    while (1) {
        while ($self->{unread} =~ s/^(.*)\n//) {
            my $line = $1;
            return $1 if $line =~ /^dgbench: (.*)/;
            $self->_log($line);
        }
        $readable->can_read($patience) or $self->fail("has not answered for $patience s");
        sysread $self->{from}, $self->{unread}, 65536, length $self->{unread} or $self->fail('has ended');
    }
}

sub _log {
    my ($self, $line) = @_;
    open my $log, '>>', $self->{log} or return;
    print $log "$line\n";
}

# Dies with what the node printed beside the reason.
sub fail {
    my ($self, $what) = @_;
    my $log = '';
    if (open my $handle, '<', $self->{log}) {
        my @lines = <$handle>;
        splice @lines, 0, -20 if @lines > 20;
        $log = @lines ? join('', "It printed:\n", map { "    $_" } @lines) : "It printed nothing.\n";
    }
    die "bench: node $self->{name} $what\n$log";
}

1;
