# The laboratory: real hosts (namespaces), a wire between them, and real Erlang nodes on them.
#
#     use Distguard::Lab;                    # from here on the script is in namespaces of its own
#     my $lab   = Distguard::Lab->new;
#     my $alpha = $lab->host('alpha');
#     my $beta  = $lab->host('beta');
#     my $a = $alpha->node('a', long => 1, shim => 1);
#     my $b = $beta->node('b', long => 1, shim => 1);
#     is($a->call("net_adm:ping('b\@10.77.0.2')"), 'pong');
#
# Nothing outlives the script and nothing is left on the disk: processes are in its PID namespace, files on a tmpfs in
# its mount namespace. Runs as root, or as anybody where unprivileged user namespaces are allowed.
#
# DISTGUARD_LAB_PLAIN=1 runs a script without the library, as a control. DISTGUARD_BUILD names another build folder.
package Distguard::Lab;
use strict;
use warnings;
use Carp qw(croak);
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Distguard::Lab::Enclosure;
use Distguard::Lab::Host;
use Distguard::Lab::Pki;
use Distguard::Lab::Process;
use Distguard::Lab::Tree;
use Distguard::Lab::Wait;

use constant {
    DIR    => '/mnt',       # exists everywhere, has a short name (socket paths), and is ours in our mount namespace
    BRIDGE => 'labwire',
    MUST_LIMIT => 180,    # seconds: the certificates of a whole suite take long on a busy machine
};

sub import {
    Distguard::Lab::Enclosure::enter();
}

sub new {
    my ($class) = @_;
    my $self = bless {
        root  => abs_path(dirname(__FILE__) . '/../../..'),
        hosts => [],
        temps => 0,
    }, $class;
    croak "the checkout must not be below ${\DIR}: the laboratory is mounted there" if index("$self->{root}/", DIR . '/') == 0;
    system(qw(mount -t tmpfs -o mode=0755 distguard-lab), DIR) == 0 or croak 'laboratory: cannot mount a tmpfs';
    mkdir "${\DIR}/lab";

    open(my $hosts, '>', $self->hosts_file) or croak "${\$self->hosts_file}: $!";
    print {$hosts} "127.0.0.1 localhost\n::1 localhost\n";
    close $hosts;

    $self->must(qw(ip link set lo up));
    $self->must(qw(ip link add), BRIDGE, qw(type bridge mcast_snooping 0));
    $self->must(qw(ip link set), BRIDGE, 'up');
    return $self;
}

sub root       { $_[0]{root} }
sub dir        { DIR }
sub bridge     { BRIDGE }
sub hosts_file { DIR . '/hosts' }
sub build      { $ENV{DISTGUARD_BUILD} // "$_[0]{root}/build" }
sub library    { $_[0]->build . '/libdistguard.so' }
sub tool       { $_[0]->build . '/distguard' }

# Another OTP than the machine's: 25, 27 or 29.
sub tree {
    my ($self, $otp) = @_;
    return $self->{trees}{$otp} //= Distguard::Lab::Tree->new($self, $otp);
}

# The wire of a second network (see interface in Distguard::Lab::Host), laid when first asked for.
sub wire {
    my ($self, $net) = @_;
    my $name = BRIDGE . $net;
    if (!$self->{wires}{$net}++) {
        $self->must(qw(ip link add), $name, qw(type bridge mcast_snooping 0));
        $self->must(qw(ip link set), $name, 'up');
    }
    return $name;
}

sub temp_path {
    my ($self, $suffix) = @_;
    return sprintf '%s/lab/temp%d.%s', DIR, ++$self->{temps}, $suffix;
}

sub host {
    my ($self, $name) = @_;
    my $host = Distguard::Lab::Host->new(lab => $self, name => $name, number => 1 + @{ $self->{hosts} });
    push @{ $self->{hosts} }, $host;
    # The hosts have this very file mounted, so it is added to, not replaced.
    open(my $hosts, '>>', $self->hosts_file) or croak "${\$self->hosts_file}: $!";
    print {$hosts} "$_ $name.lab $name\n" for $host->ip, $host->ip6;
    close $hosts;
    return $host;
}

# The laboratory's certificate authority. pki('other') is another one, which nobody else trusts.
sub pki {
    my ($self, $name) = @_;
    $name //= 'pki';
    return $self->{pki}{$name} //= Distguard::Lab::Pki->new($self, DIR . "/$name");
}

# The folder of the compiled Erlang modules of tests/lib/erlang.
sub erlang_dir {
    my ($self) = @_;
    return $self->{erlang_dir} if $self->{erlang_dir};
    my $dir = DIR . '/erlang';
    mkdir $dir;
    $self->must('erlc', '-o', $dir, glob "$self->{root}/tests/lib/erlang/*.erl");
    return $self->{erlang_dir} = $dir;
}

# Whether there is more than one user in here: not so in an unprivileged user namespace.
sub has_users {
    my @maps = split /^/, Distguard::Lab::Process::slurp('/proc/self/uid_map');
    return @maps > 1 || (split ' ', $maps[0])[2] > 1;
}

# Runs a command outside of the hosts and returns what it prints; dies if it fails.
sub must {
    my ($self, @argv) = @_;
    my $process = Distguard::Lab::Process->start(dir => DIR . '/lab', argv => \@argv);
    if (!$process->wait(MUST_LIMIT)) {
        $process->kill;
        croak "not through after ${\MUST_LIMIT} s\n", $process->describe;
    }
    croak $process->describe if $process->status != 0;
    return $process->out;
}

1;
