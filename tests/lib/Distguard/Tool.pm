# The tool `distguard`, run and listened to; a folder that goes away with the script.
package Distguard::Tool;
use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use POSIX qw(WIFSIGNALED WTERMSIG WEXITSTATUS);

our @EXPORT_OK = qw(tool build folder spew slurp run on_terminal on_host describe);

use constant PATIENCE => 60;

# Modes of files are part of what is tested.
umask 022;

sub build { abs_path($ENV{DISTGUARD_BUILD} // dirname(__FILE__) . '/../../../build') }
sub tool  { build() . '/distguard' }

-x tool() or die "${\tool()} is not there: `make` builds it\n";

sub folder {
    my $folder = tempdir('distguard-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $folder;
    return $folder;
}

sub spew {
    my ($path, $text, $mode) = @_;
    open(my $file, '>:raw', $path) or croak "$path: $!";
    print {$file} $text;
    close($file) or croak "$path: $!";
    chmod $mode // 0644, $path;
    return $path;
}

sub slurp {
    my ($path) = @_;
    open(my $file, '<:raw', $path) or croak "$path: $!";
    local $/;
    return scalar <$file>;
}

# Runs a command: run({ env => { NAME => value or undef }, dir => …, patience => seconds }, 'command', …). Variables of
# ours do not reach it unless named. Gives a hash: status (128 + signal where one ended it), out, err, argv.
sub run {
    my $how  = ref $_[0] ? shift : {};
    my @argv = @_;
    my ($out, $err) = map { File::Temp->new } 1, 2;
    my $pid = fork // croak "fork: $!";

    if ($pid == 0) {
        open(STDIN,  '<',  '/dev/null');
        open(STDOUT, '>&', $out);
        open(STDERR, '>&', $err);
        delete @ENV{qw(DISTGUARD DISTGUARD_CONF DISTGUARD_PROFILE DISTGUARD_PROGRAMS LD_PRELOAD)};
        my $env = $how->{env} // {};
        defined $env->{$_} ? $ENV{$_} = $env->{$_} : delete $ENV{$_} for keys %$env;
        chdir $how->{dir} or POSIX::_exit(99) if $how->{dir};
        { no warnings 'exec'; exec { $argv[0] } @argv; }
        print STDERR "exec $argv[0]: $!\n";
        POSIX::_exit(99);
    }
    local $SIG{ALRM} = sub { kill KILL => $pid };
    alarm($how->{patience} // PATIENCE);
    waitpid $pid, 0;
    alarm 0;
    return {
        argv   => \@argv,
        status => WIFSIGNALED($?) ? 128 + WTERMSIG($?) : WEXITSTATUS($?),
        out    => slurp($out),
        err    => slurp($err),
    };
}

# As run(), on a terminal: out holds all that was shown there.
sub on_terminal {
    my $how     = ref $_[0] ? shift : {};
    my $command = join ' ', map { s/'/'\\''/gr =~ s/(.*)/'$1'/sr } @_;
    return run($how, 'script', '--quiet', '--return', '--command', $command, '/dev/null');
}

# As run(), on a host of its own that goes away with the command. Interfaces: lo; eth1 with 10.0.0.5/24 and fd00::5/64;
# eth2 with 10.0.1.5/24, 10.0.1.6/24; eth3 without an address.
sub on_host {
    my $how = ref $_[0] ? shift : {};
    my $run = run($how, 'unshare', '--net', 'sh', '-ec', <<'    END', '-', @_);
        ip link set lo up
        for eth in eth1 eth2 eth3; do
            ip link add $eth type veth peer name ${eth}peer
            ip link set ${eth}peer up
            ip link set $eth addrgenmode none
            ip link set $eth up
        done
        ip addr add 10.0.0.5/24 dev eth1
        ip addr add fd00::5/64 dev eth1 nodad
        ip addr add 10.0.1.5/24 dev eth2
        ip addr add 10.0.1.6/24 dev eth2
        exec "$@"
    END
    return { %$run, argv => [@_] };
}

# For diag().
sub describe {
    my ($run) = @_;
    return "@{ $run->{argv} }\nstatus: $run->{status}\nstdout: $run->{out}\nstderr: $run->{err}";
}

1;
