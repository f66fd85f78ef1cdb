# A host that systemd has booted: its PID 1 is this machine's own systemd, with a journal, cgroups, sockets and timers, and
# what systemctl starts there is started as everywhere.
#
#     unboxed($host);    # as after an installation; from here on files can be put there
#     boot($host);       # from here on run, must and spawn start commands in its system
#
# It has the machine's programs and settings as they are; what is written to /etc, /opt, /usr and /var stays its own, and
# none of the machine's services is enabled. It lives in namespaces and a cgroup of its own, and of the kernel's settings it can
# change none: /proc/sys and /sys are read-only, and rights such as setting the clock are taken from it.
package Distguard::Lab::Systemd;
use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use Distguard::Lab::Installed qw(own_folders);
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_until);

our @EXPORT_OK = qw(cannot_boot unboxed boot journal property);

use constant {
    PROGRAM  => '/lib/systemd/systemd',
    PATIENCE => 60,
    # What nobody on the host may do, as it would be done to the machine.
    NO_RIGHT => join(',', map {"-$_"} qw(sys_module sys_rawio sys_time sys_boot syslog mac_admin mac_override wake_alarm)),
    STALE    => 30,    # minutes after which the script that made a cgroup has ended, however it did
};

my @booted;

# Why no host can be booted here; nothing where one can.
sub cannot_boot {
    my ($lab) = @_;
    return 'services have users of their own, and becoming them takes root' if !$lab->has_users;
    return "there is no ${\PROGRAM} (Debian: systemd)" if !-x PROGRAM;
    return eval { give_back(make_cgroup($lab)); 1 } ? undef : "systemd wants a cgroup (version 2) of its own, and none can be made here: $@";
}

# Folders of its own for a host of the laboratory, in which no service is enabled and nothing has an identity but its name.
sub unboxed {
    my ($host) = @_;
    own_folders($host, qw(/etc /opt /usr /var));
    $host->must('sh', '-ec', <<'    END', '-', $host->name);
        find /etc/systemd/system -mindepth 1 -delete
        rm -rf /etc/fstab /etc/machine-id /usr/sbin/policy-rc.d /var/log/journal
        echo "$1" >/etc/hostname
        tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
    END
}

# /tmp is the host's own from then on: a checkout below it is not seen there.
sub boot {
    my ($host) = @_;
    my $cgroup = make_cgroup($host->lab);
    my $parent = $host->spawn({ input => '' }, 'sh', '-ec', <<'    END', '-', $cgroup, start(), $host->dir, NO_RIGHT, PROGRAM);
        mkdir -p "${1%/*}"
        mountpoint -q "${1%/*}" || mount -t cgroup2 cgroup2 "${1%/*}"
        echo $$ >"$1/cgroup.procs"
        start=$2
        shift 2
        exec unshare --mount --pid --ipc --cgroup --fork --kill-child -- sh -euc "$start" - "$@"
    END
    push @booted, { script => $$, cgroup => $cgroup, parent => $parent };
    $host->enter(first_process($host, $parent));
    my $state;
    wait_until('systemd of ' . $host->name . ' is up', PATIENCE, sub {
        $state = $host->run(qw(systemctl is-system-running));
        $state->out =~ /^(running|degraded)$/;
    });
    croak $host->name . " has not come up whole:\n", $host->must(qw(systemctl --failed --no-pager)), $host->must(qw(journalctl --no-pager --boot))
        if $state->out ne "running\n";
}

# What the host's first process does until it is systemd. Arguments: a folder, the rights to be dropped, the program.
sub start {
    return <<'    END';
        dev=$1/dev
        mkdir "$dev"
        mount -t tmpfs -o mode=0755 dev "$dev"
        for node in null zero full random urandom tty; do
            touch "$dev/$node"
            mount --bind /dev/$node "$dev/$node"
        done
        mkdir "$dev/pts" "$dev/shm"
        mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$dev/pts"
        mount -t tmpfs -o mode=1777 shm "$dev/shm"
        ln -s pts/ptmx "$dev/ptmx"
        ln -s /proc/self/fd "$dev/fd"
        ln -s fd/0 "$dev/stdin"
        ln -s fd/1 "$dev/stdout"
        ln -s fd/2 "$dev/stderr"
        mount --move "$dev" /dev

        mount -t sysfs sysfs /sys
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mount -o remount,bind,ro /sys
        mount -t proc proc /proc
        for part in /proc/sys /proc/sysrq-trigger; do
            [ -e $part ] || continue
            mount --bind $part $part
            mount -o remount,bind,ro $part
        done
        mount -t tmpfs -o mode=0755 run /run
        mount -t tmpfs -o mode=1777 tmp /tmp
        mount -o remount,bind,ro /
        cd /
        exec env -i container=laboratory PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            setpriv --bounding-set "$2" "$3" --unit=basic.target
    END
}

# Its process id, as the script sees it.
sub first_process {
    my ($host, $parent) = @_;
    my $pid;
    wait_until('systemd of ' . $host->name . ' is started', PATIENCE, sub {
        croak 'systemd of ' . $host->name . " is not started\n", $parent->describe if !$parent->running;
        ($pid) = Distguard::Lab::Process::slurp(sprintf '/proc/%d/task/%1$d/children', $parent->pid) =~ /^(\d+)/;
        defined $pid && (readlink("/proc/$pid/exe") // '') =~ m{/systemd$};
    });
    return $pid;
}

# --- what systemd says ---

sub property {
    my ($host, $unit, $name) = @_;
    chomp(my $value = $host->must(qw(systemctl show --value --property), $name, $unit));
    return $value;
}

sub journal { my ($host, @which) = @_; return $host->must(qw(journalctl --no-pager --output=cat), @which) }

# --- cgroups: all that outlives a script's namespaces ---

# In the unified hierarchy, wherever the machine has it. What a script has left that was killed goes away with the next.
sub make_cgroup {
    my ($lab) = @_;
    my $place = $lab->dir . '/cgroup';
    chomp(my $cgroup = $lab->must('sh', '-ec', <<'    END', '-', $place, STALE));
        mkdir -p "$1"
        mountpoint -q "$1" || mount -t cgroup2 cgroup2 "$1"
        find "$1" -mindepth 1 -depth -type d -path "$1/distguard.*" -mmin "+$2" -exec rmdir {} + 2>/dev/null || true
        mktemp -d "$1/distguard.XXXXXX"
    END
    return $cgroup;
}

# Its processes are ending.
sub give_back {
    my ($cgroup) = @_;
    wait_until("$cgroup is empty", PATIENCE, sub {
        system('sh', '-c', 'find "$0" -depth -type d -exec rmdir {} + 2>/dev/null', $cgroup);
        !-e $cgroup;
    });
}

END {
    my $status = $?;
    for my $system (grep { $_->{script} == $$ } @booted) {
        $system->{parent}->kill;
        give_back($system->{cgroup});
    }
    $? = $status;
}

1;
