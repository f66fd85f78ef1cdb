# A small disk of a host's (ext4 in a file, by a loop device) that can hang as a bad one does, and be full.
#
#     use Distguard::Lab::Disk;      # before Distguard::Lab: see guard()
#     use Distguard::Lab;
#     ...
#     my $disk = Distguard::Lab::Disk->new($host) or plan skip_all => Distguard::Lab::Disk::reason();
#     $disk->freeze; ... $disk->thaw;
package Distguard::Lab::Disk;
use strict;
use warnings;
use Carp qw(croak);
use Fcntl qw(O_RDONLY O_DIRECTORY);
use POSIX ();
use Socket qw(AF_UNIX SOCK_STREAM);

use constant {
    SIZE   => '8M',
    FITHAW => 0xc0045878,    # linux/fs.h
    GUARD  => 'DISTGUARD_LAB_THAW',
};

my ($guard, $reason);

sub import {
    return guard() if !defined $ENV{+GUARD};
    open($guard, '+<&=', $ENV{+GUARD}) or croak "no way to who thaws the disk: $!";
    $guard->autoflush(1);
}

# A process that waits for a frozen disk cannot be killed, so a script that ends while one is would hang for ever, and its
# namespaces with it. Hence a process outside of them, that thaws when the script is gone, however that came.
sub guard {
    socketpair(my $inside, my $outside, AF_UNIX, SOCK_STREAM, 0) or croak "socketpair: $!";
    my $pid = fork() // croak "fork: $!";
    if ($pid == 0) {
        close $inside;
        open($_, '+<', '/dev/null') for *STDIN, *STDOUT, *STDERR;
        POSIX::setsid();
        stand_by($outside);
        POSIX::_exit(0);
    }
    # The copy outlives the exec into the namespaces, and has a number that no child of the script gets.
    $ENV{+GUARD} = POSIX::dup2(fileno $inside, 90) // croak "dup2: $!";
}

sub stand_by {
    my ($script) = @_;
    my @disks;
    while (defined(my $device = <$script>)) {
        chomp $device;
        push @disks, my $disk = find_disk($device);
        syswrite $script, $disk ? "found\n" : "not found\n";
    }
    for my $disk (grep {defined} @disks) {
        my $unused = pack 'i', 0;
        ioctl($disk, FITHAW, $unused);    # fails where it is not frozen
    }
}

# The root folder of a mounted device (MAJOR:MINOR), in whichever mount namespace it is.
sub find_disk {
    my ($device) = @_;
    for my $list (glob '/proc/[0-9]*/mountinfo') {
        open(my $mounts, '<', $list) or next;
        my ($place) = map { /^\d+ \d+ \Q$device\E \S+ (\S+)/ } <$mounts>;
        my $root = $list =~ s/mountinfo$/root/r;
        next if !defined $place;
        sysopen(my $folder, "$root$place", O_RDONLY | O_DIRECTORY) or next;
        return $folder;
    }
    return undef;
}

# Mounted at a folder of the host's. Undef where loop devices cannot be had: reason() says why.
sub new {
    my ($class, $host) = @_;
    my $self = bless { host => $host, dir => $host->dir . '/disk' }, $class;
    my $image = "$self->{dir}.image";
    mkdir $self->{dir} or croak "$self->{dir}: $!";
    my $made = $host->run('sh', '-ec', "truncate -s ${\SIZE} $image; mkfs.ext4 -q -m 0 $image; mount -o loop $image $self->{dir}");
    $reason = 'no loop device: ' . $made->err;
    return undef if $made->status != 0;
    my $device = $host->must('findmnt', '-no', 'MAJ:MIN', $self->{dir});
    print {$guard} $device =~ s/\s//gr, "\n";
    croak 'the disk cannot be reached from outside' if <$guard> ne "found\n";
    return $self;
}

sub reason { return $reason }
sub path   { return "$_[0]{dir}/$_[1]" }
sub freeze { $_[0]{host}->must('fsfreeze', '-f', $_[0]{dir}) }
sub thaw   { $_[0]{host}->must('fsfreeze', '-u', $_[0]{dir}) }

# What is in a file on it; it is seen on the host alone.
sub read {
    my ($self, $name) = @_;
    return $self->{host}->must('cat', $self->path($name));
}

# Not a byte more can be written to it, until it is relieved.
sub fill {
    my ($self) = @_;
    $self->{host}->run('sh', '-c', 'dd if=/dev/zero of="$0" bs=64k; dd if=/dev/zero bs=1 >>"$0"', $self->path('filling'));
}

sub relieve { $_[0]{host}->must('rm', $_[0]->path('filling')) }

1;
