# Another OTP on the laboratory's hosts: the tree of another Debian release (tests/tools/otp-tree), with that release's own
# libraries and the shim built in there (make trees). In a tree the laboratory's folder is where it is outside, and the
# checkout is at /srv.
package Distguard::Lab::Tree;
use strict;
use warnings;
use Carp qw(croak);
use File::Copy qw(copy);
use Distguard::Lab::Wait qw(wait_until);

use constant CHECKOUT => '/srv';

my %RELEASE = (25 => 'bookworm', 27 => 'trixie', 29 => 'sid');

sub new {
    my ($class, $lab, $otp) = @_;
    my $release = $RELEASE{$otp} // croak "no release is known to have OTP $otp";
    my $self = bless { lab => $lab, otp => $otp, dir => $lab->dir . "/otp$otp" }, $class;
    chomp($self->{tree} = $lab->must($lab->root . '/tests/tools/otp-tree', '--where', $release));
    mkdir "$self->{dir}$_" or croak "$self->{dir}$_: $!" for '', '-shim', '-erlang';
    for my $library (qw(libdistguard.so libdistguard-core.so)) {
        my $built = $lab->build . "/$release/$library";
        copy($built, "$self->{dir}-shim/$library") or croak "$built: $! (`make trees` builds it)";
    }
    return $self;
}

sub library { "$_[0]{dir}-shim/libdistguard.so" }

# A process that does nothing but have the tree as its root, and be in the host's namespaces otherwise.
sub hold {
    my ($self, $host) = @_;
    my $holder = $host->spawn(qw(unshare --mount -- sh -euc), <<'    END', '-', @$self{qw(tree dir)}, $self->{lab}->root, CHECKOUT, $self->{lab}->dir);
        tree=$1 root=$2 checkout=$3 place=$4 lab=$5
        mount --bind "$tree" "$root"
        mount -o remount,bind,ro "$root"
        mount -t tmpfs tmp "$root/tmp"
        for shared in /dev /sys /proc; do mount --rbind $shared "$root$shared"; done
        mount --bind /etc/hosts "$root/etc/hosts"
        mount --bind "$checkout" "$root$place"
        mount --bind "$lab" "$root$lab"
        exec chroot "$root" sleep infinity
    END
    wait_until("the tree of OTP $self->{otp} is there on " . $host->name, 10, sub {
        croak $holder->describe if !$holder->running;
        (readlink("/proc/${\$holder->pid}/root") // '') eq $self->{dir}
            && (readlink("/proc/${\$holder->pid}/exe") // '') =~ m{/sleep|coreutils};
    });
    return $holder;
}

# The folder of the modules of tests/lib/erlang, compiled by this OTP, on one of the hosts.
sub erlang_dir {
    my ($self, $host) = @_;
    return $self->{erlang_dir} if $self->{erlang_dir};
    my $root = $self->{lab}->root;
    my @sources = map { s/^\Q$root\E/${\CHECKOUT}/r } glob "$root/tests/lib/erlang/*.erl";
    $host->must({ otp => $self->{otp} }, 'erlc', '-o', "$self->{dir}-erlang", @sources);
    return $self->{erlang_dir} = "$self->{dir}-erlang";
}

1;
