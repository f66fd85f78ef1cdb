# EPMD, as its clients see it: those that mean well, and those that do not.
package Distguard::Lab::Epmd;
use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use List::Util qw(sum0);
use POSIX ();
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);

our @EXPORT_OK = qw(EPMD_PORT start_epmd start_epmd_daemon start_as_erl_does epmd_pid ask begin_asking answer_of registration
    port_please names_req crowd median cpu_of fds_of memory_of);

use constant EPMD_PORT => 4369;

# --- requests ---

sub request { pack 'n/a*', $_[0] }

sub names_req   { request('n') }
sub port_please { request("z$_[0]") }

# ALIVE2_REQ of a node: its name, its port.
sub registration { request(pack 'a n C C n n n/a* n', 'x', $_[1], 77, 0, 6, 5, $_[0], 0) }

# --- the program ---

# An epmd of the host's in the foreground, once it listens: start_epmd($host [, shim => 1, args => [...], env => {...},
# as => [command prefix], port => N]).
sub start_epmd {
    my ($host, %option) = @_;
    my $port  = $option{port} // EPMD_PORT;
    my %env   = (($option{shim} ? $host->shim_env : ()), %{ $option{env} // {} });
    my $epmd  = $host->spawn({ env => \%env }, @{ $option{as} // [] }, 'epmd', @{ $option{args} // [] });
    wait_until('epmd listens', 10, sub {
        croak $epmd->describe, $host->log if !$epmd->running;
        $host->must(qw(ss -Htlnp)) =~ /:$port\s.*,pid=@{[$epmd->pid]},/;
    });
    return $epmd;
}

# `epmd -daemon`, once its daemon listens: the command ends before that. Options as above, and `otp`.
sub start_epmd_daemon {
    my ($host, %option) = @_;
    my ($listens, $command) = try_epmd_daemon($host, %option);
    croak 'epmd -daemon does not listen: ', $command->describe, $host->log if !$listens;
}

# What erl does before a node starts, if no EPMD is there, but that it does not wait: on a busy machine the node may come
# first, and end with econnrefused. Where EPMD cannot start the node is to say so itself.
sub start_as_erl_does {
    my ($host, %option) = @_;
    my $port = $option{env}{ERL_EPMD_PORT} // EPMD_PORT;
    try_epmd_daemon($host, %option, port => $port) if !is_listened_at($host, $port);
}

# Waits until the daemon listens or has given up. Returns whether it listens, and the command.
sub try_epmd_daemon {
    my ($host, %option) = @_;
    my %env = (($option{shim} ? $host->shim_env($option{otp}) : ()), %{ $option{env} // {} });
    my $command = $host->run({ env => \%env, otp => $option{otp} }, @{ $option{as} // [] }, qw(epmd -daemon),
        @{ $option{args} // [] });
    my $listens;
    wait_for(10, sub {
        my $lives = has_epmd($host);    # seen first, as it may begin to listen in between
        $listens = is_listened_at($host, $option{port} // EPMD_PORT);
        $listens || !$lives;
    });
    return ($listens, $command);
}

sub is_listened_at {
    my ($host, $port) = @_;
    return $host->must(qw(ss -Htln)) =~ /:$port\s/;
}

# Whether a process of the host's is an EPMD, though it may not listen yet.
sub has_epmd {
    my ($host) = @_;
    my $network = readlink '/proc/' . $host->holder->pid . '/ns/net';
    return scalar grep {
        Distguard::Lab::Process::slurp("$_/comm") eq "epmd\n" && (readlink("$_/ns/net") // '') eq $network
    } glob '/proc/[0-9]*';
}

# The process id of a host's EPMD, whoever started it.
sub epmd_pid {
    my ($host) = @_;
    my ($pid) = $host->must(qw(ss -Htlnp)) =~ /"epmd",pid=(\d+),/;
    return $pid // croak 'no epmd listens on ' . $host->name;
}

# --- asking ---

# ask($host, $address, $request [, tls => 1, pair => BASE, port => N]): what tests/tools/epmd-ask finds out.
sub ask { answer_of(begin_asking(@_)) }

sub begin_asking {
    my ($host, $address, $request, %option) = @_;
    return $host->spawn($host->lab->root . '/tests/tools/epmd-ask', ($option{tls} ? '--tls' : ()),
        ($option{pair} ? ('--pair', $option{pair}) : ()), ($option{port} ? ('--port', $option{port}) : ()),
        $address, unpack 'H*', $request);
}

sub answer_of {
    my ($process) = @_;
    $process->wait(20) or croak 'the client does not end: ', $process->describe;
    my %found = $process->out =~ /^(\w+) ?(.*)$/mg;
    defined $found{end} or croak $process->describe;
    return { %found, answer => pack 'H*', $found{answer} // '' };
}

# Connections that stop at some point (see tests/tools/epmd-crowd), once all of them wait.
sub crowd {
    my ($host, $address, $kind, $count, %option) = @_;
    my $crowd = $host->spawn($host->lab->root . '/tests/tools/epmd-crowd', $address, $option{port} // EPMD_PORT, $kind,
        $count, $option{pair} // ());
    wait_until("$count wait ($kind)", 30, sub {
        croak $crowd->describe if !$crowd->running;
        $crowd->out =~ /^waiting$/m;
    });
    return $crowd;
}

# --- figures ---

sub median {
    my @sorted = sort { $a <=> $b } @_;
    return $sorted[$#sorted / 2];
}

# Seconds of processor time used so far.
sub cpu_of {
    my ($pid) = @_;
    my ($after_name) = Distguard::Lab::Process::slurp("/proc/$pid/stat") =~ /\) (.*)/ or croak "no process $pid";
    return sum0((split ' ', $after_name)[11, 12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub fds_of {
    my ($pid) = @_;
    opendir(my $dir, "/proc/$pid/fd") or croak "descriptors of $pid: $!";
    return scalar grep { !/^\./ } readdir $dir;
}

# KiB
sub memory_of {
    my ($pid) = @_;
    return Distguard::Lab::Process::slurp("/proc/$pid/status") =~ /^VmRSS:\s*(\d+)/m ? $1 : croak "no process $pid";
}

1;
