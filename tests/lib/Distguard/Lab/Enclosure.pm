# Puts the running script into namespaces of its own, so that nothing it starts can outlive it or be seen outside.
#
# enter() starts the script anew under unshare(1). The new process is PID 1 of its PID namespace, and the kernel kills
# everything in there when it ends, however it ends. It stays a mere init that reaps; its child is the test.
package Distguard::Lab::Enclosure;
use strict;
use warnings;
use POSIX qw(WNOHANG);

use constant TIME_LIMIT => $ENV{DISTGUARD_LAB_TIME_LIMIT} // 600;    # seconds for a whole script

sub enter {
    if ($$ == 1 && delete $ENV{DISTGUARD_LAB_INSIDE}) {
        be_init();
        return;
    }
    # The user namespace comes first: entering one makes the kernel forget that we are to die with our parent.
    my @user = $> == 0 ? () : qw(unshare --user --map-root-user --);
    my @unshare = qw(unshare --pid --net --mount --uts --ipc --fork --kill-child --mount-proc --);
    $ENV{DISTGUARD_LAB_INSIDE} = 1;
    $| = 1;
    exec @user, qw(setpriv --pdeathsig KILL --), @unshare, $^X, (map {"-I$_"} @INC), $0, @ARGV;
    die "laboratory: cannot run unshare: $! (package util-linux)\n";
}

# Forks; returns in the child, which carries on as the script. The parent ends with it.
sub be_init {
    my $script = fork() // die "laboratory: fork: $!\n";
    return if $script == 0;

    $SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
    $SIG{ALRM} = sub {
        print STDOUT "Bail out! The time limit of @{[TIME_LIMIT]} s for one script is over\n";
        POSIX::_exit(1);
    };
    alarm TIME_LIMIT;
    while ((my $gone = wait) > 0) {
        next if $gone != $script;
        POSIX::_exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
    }
    POSIX::_exit(1);
}

1;
