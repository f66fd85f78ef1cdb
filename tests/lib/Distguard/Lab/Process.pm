# A child process whose output goes to files, so that no grandchild that keeps them open can hold us up.
package Distguard::Lab::Process;
use strict;
use warnings;
use Carp qw(croak);
use Fcntl qw(F_DUPFD);
use POSIX qw(WNOHANG dup2);
use Time::HiRes qw(time sleep);
use Distguard::Lab::Wait qw(wait_for);

my $count = 0;

# start(dir => where output goes, argv => [...], input => string,
#       pipes => { 3 => read handle, 4 => write handle, ... } handed to the child under these numbers)
sub start {
    my ($class, %option) = @_;
    my $base = sprintf '%s/%03d', $option{dir}, ++$count;
    my $self = bless { argv => $option{argv}, out => "$base.out", err => "$base.err", status => undef }, $class;

    open(my $input, '+>', "$base.in") or croak "$base.in: $!";
    print {$input} $option{input} // '';
    seek($input, 0, 0);

    $self->{pid} = fork() // croak "fork: $!";
    return $self if $self->{pid};
    $self->become($input, $option{pipes} // {});
}

sub become {
    my ($self, $input, $pipes) = @_;
    open(my $out, '>', $self->{out}) or POSIX::_exit(126);
    open(my $err, '>', $self->{err}) or POSIX::_exit(126);
    dup2(fileno $input, 0);
    dup2(fileno $out, 1);
    dup2(fileno $err, 2);
    # Out of the way first: a handle may have the number that another is to get.
    my %high = map { $_ => fcntl($pipes->{$_}, F_DUPFD, 100) } keys %$pipes;
    dup2($high{$_}, $_), POSIX::close($high{$_}) for keys %high;
    my $first_free = 3;
    $first_free++ while $pipes->{$first_free};
    POSIX::close($_) for $first_free .. 99;
    $SIG{PIPE} = 'DEFAULT';
    { no warnings "exec"; exec { $self->{argv}[0] } @{ $self->{argv} }; }
    syswrite STDERR, "cannot run $self->{argv}[0]: $!\n";
    POSIX::_exit(127);
}

sub pid { $_[0]{pid} }
sub out { slurp($_[0]{out}) }
sub err { slurp($_[0]{err}) }

# Exit status as the shell gives it, or undef while the process runs.
sub status {
    my ($self) = @_;
    if (!defined $self->{status} && waitpid($self->{pid}, WNOHANG) != 0) {
        $self->{status} = $? == -1 ? 127 : $? & 127 ? 128 + ($? & 127) : $? >> 8;
    }
    return $self->{status};
}

sub running { !defined $_[0]->status }

# True once it has ended by itself.
sub wait {
    my ($self, $seconds) = @_;
    return wait_for($seconds, sub { !$self->running });
}

sub signal {
    my ($self, $name) = @_;
    kill $name, $self->{pid} if $self->running;
}

# Ends it, gently first.
sub stop {
    my ($self, $seconds) = @_;
    $self->signal('TERM');
    $self->kill if !$self->wait($seconds // 5);
    return $self->status;
}

sub kill {
    my ($self) = @_;
    $self->signal('KILL');
    $self->wait(5);
    return $self->status;
}

sub describe {
    my ($self) = @_;
    return join "\n", "command: @{ $self->{argv} }", 'status: ' . ($self->status // 'still running'),
        'stdout: ' . $self->out, 'stderr: ' . $self->err;
}

sub slurp {
    my ($path) = @_;
    open(my $file, '<:raw', $path) or return '';
    local $/;
    return <$file> // '';
}

1;
