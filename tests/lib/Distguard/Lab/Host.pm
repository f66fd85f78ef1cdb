# A host: a network, a host name and a mount namespace of its own, on the laboratory's wire.
package Distguard::Lab::Host;
use strict;
use warnings;
use Carp qw(croak);
use Distguard::Lab::Capture;
use Distguard::Lab::Epmd qw(EPMD_PORT);
use Distguard::Lab::Node;
use Distguard::Lab::Policy qw(libconfig merge);
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Time::HiRes qw(sleep);

use constant {
    PLAIN     => $ENV{DISTGUARD_LAB_PLAIN},    # control runs: every node without the library
    OVER_IPV6 => scalar(($ENV{DISTGUARD_LAB_ERL_ARGS} // '') =~ /\binet6_tcp\b/),
    RUN_LIMIT => 60,
    # What is loaded ahead of the library: the runtime of a sanitizer (tests/sanitized/run-test).
    AHEAD => $ENV{DISTGUARD_LAB_AHEAD},
};

# Nothing of the machine's own Erlang or distguard settings reaches a node.
my @STRANGE = qw(LD_PRELOAD DISTGUARD DISTGUARD_CONF DISTGUARD_PROFILE ERL_EPMD_PORT ERL_EPMD_ADDRESS ERL_FLAGS ERL_AFLAGS
    ERL_ZFLAGS ERL_LIBS ERL_INETRC ERL_DIST_PORT NOTIFY_SOCKET);

sub new {
    my ($class, %option) = @_;
    my ($lab, $name, $number) = @option{qw(lab name number)};
    my $self = bless {
        lab  => $lab,
        name => $name,
        ip   => "10.77.0.$number",
        ip6  => sprintf('fd77::%x', $number),
        dir  => $lab->dir . "/$name",
        number    => $number,
        addresses => ["10.77.0.$number", sprintf('fd77::%x', $number)],
    }, $class;
    mkdir $self->{dir} or croak "$self->{dir}: $!";
    $self->{holder} = $self->hold;
    $self->plug_in($self->port);
    return $self;
}

# A process that does nothing but be in the host's namespaces.
sub hold {
    my ($self) = @_;
    my $holder = Distguard::Lab::Process->start(
        dir  => $self->{dir},
        argv => [qw(unshare --net --uts --mount -- sleep infinity)]);
    wait_until("the namespaces of $self->{name} are there", 10, sub {
        croak $holder->describe if !$holder->running;
        (readlink("/proc/${\$holder->pid}/exe") // '') =~ m{/sleep|coreutils};
    });
    return $holder;
}

sub plug_in {
    my ($self, $port) = @_;
    my ($lab, $holder) = ($self->{lab}, $self->{holder}->pid);
    $lab->must(qw(ip link add), $port, qw(type veth peer name eth0 netns), $holder);
    $lab->must(qw(ip link set), $port, qw(master), $lab->bridge, 'up');
    $self->must('sh', '-ec', <<"    END");
        hostname $self->{name}
        mount --bind @{[$lab->hosts_file]} /etc/hosts
        ip link set lo up
        ip addr add $self->{ip}/24 dev eth0
        ip addr add $self->{ip6}/64 dev eth0 nodad
        ip link set eth0 up
    END
    $self->must('sh', '-c', 'until ip -6 route get fd77::ff >/dev/null 2>&1; do sleep 0.01; done');
}

# A second interface, on another wire: interface('eth1', 78) has 10.78.0.N and fd78::N, N being the host's number. To be
# added before the host's certificate is made (shim), which names all addresses.
sub interface {
    my ($self, $interface, $net) = @_;
    my ($lab, $number) = @$self{qw(lab number)};
    my @addresses = ("10.$net.0.$number", sprintf('fd%d::%x', $net, $number));
    my $port = "lab${number}n$net";
    $lab->must(qw(ip link add), $port, qw(type veth peer name), $interface, 'netns', $self->{holder}->pid);
    $lab->must(qw(ip link set), $port, 'master', $lab->wire($net), 'up');
    $self->must('sh', '-ec', <<"    END");
        ip addr add $addresses[0]/24 dev $interface
        ip addr add $addresses[1]/64 dev $interface nodad
        ip link set $interface up
        until ip -6 route get fd$net\::ff >/dev/null 2>&1; do sleep 0.01; done
    END
    push @{ $self->{addresses} }, @addresses;
    return @addresses;
}

# Further addresses of eth0, for peers that the log is to tell apart: it tells a refusal once per peer and minute.
sub more_addresses {
    my ($self, $count) = @_;
    my @more = map { $self->{ip} =~ s/(\d+)$/100 + $1 * 20 + $_/er } 0 .. $count - 1;
    $self->must('ip', 'addr', 'add', "$_/24", 'dev', 'eth0') for @more;
    return @more;
}

# Where the host's connections come from from now on, if their programs do not say: one of its addresses on eth0.
sub speak_from {
    my ($self, $address) = @_;
    $self->must(qw(ip route replace 10.77.0.0/24 dev eth0 proto kernel scope link src), $address);
}

sub lab  { $_[0]{lab} }
sub name { $_[0]{name} }
sub ip   { $_[0]{ip} }
sub ip6  { $_[0]{ip6} }
sub port  { "lab$_[0]{number}" }    # where its eth0 is plugged in, on our side
sub place { OVER_IPV6 ? $_[0]{ip6} : $_[0]{ip} }    # where its nodes are, as long names say it
sub dir  { $_[0]{dir} }
sub addresses { @{ $_[0]{addresses} } }    # of all interfaces but lo

# Ends the host's epmd, and with it what it knew: the next node starts its own, guarded or not as that node is. Nodes must
# have stopped; until the last of them is deregistered epmd refuses. stop_epmd(PORT): the one there.
sub stop_epmd {
    my ($self, $port) = @_;
    $port //= EPMD_PORT;
    wait_until("epmd of $self->{name} ends", 10, sub {
        $self->run('epmd', '-port', $port, '-kill');
        $self->must(qw(ss -Htlnp)) !~ /:$port\s.*"epmd"/;
    });
}

# The process whose namespaces and root a command gets: the host's own, or one in the tree of another OTP.
sub holder {
    my ($self, $otp) = @_;
    return $self->{holder} if !defined $otp;
    return $self->{holders}{$otp} //= $self->{lab}->tree($otp)->hold($self);
}

# From now on commands are started in the system that has this process as its first one (Distguard::Lab::Systemd).
sub enter {
    my ($self, $pid) = @_;
    $self->{system} = $pid;
}

# The namespaces that a command gets, as nsenter is told.
sub entrance {
    my ($self, $otp) = @_;
    return ('-t', $self->{system}, qw(-n -u -m -p -i -C -r -w)) if $self->{system};
    return ('-t', $self->holder($otp)->pid, qw(-n -u -m -r -w));
}

# Starts a command on the host. Options: env, input, pipes as in Distguard::Lab::Process; otp => N: in the tree of that OTP.
sub start_process {
    my ($self, $argv, %option) = @_;
    my %env = (HOME => $self->{dir}, LC_ALL => 'C.UTF-8', ERL_CRASH_DUMP_SECONDS => 0, %{ $option{env} // {} });
    my @env = ((map { ('-u', $_) } @STRANGE), map {"$_=$env{$_}"} grep { defined $env{$_} } sort keys %env);
    return Distguard::Lab::Process->start(
        dir   => $self->{dir},
        input => $option{input},
        pipes => $option{pipes},
        argv  => ['nsenter', $self->entrance($option{otp}), '--', 'env', @env, @$argv]);
}

# spawn([{ env => ..., input => ..., otp => ... },] command...): in the background.
sub spawn {
    my ($self, @argv) = @_;
    my $option = ref $argv[0] ? shift @argv : {};
    return $self->start_process(\@argv, %$option);
}

# run([{ env, input, otp, timeout },] command...): to its end. Returns the finished process: status, out, err.
sub run {
    my ($self, @argv) = @_;
    my $option  = ref $argv[0] ? shift @argv : {};
    my $process = $self->start_process(\@argv, %$option);
    my $limit   = $option->{timeout} // RUN_LIMIT;
    if (!$process->wait($limit)) {
        $process->kill;
        croak "not through after $limit s\n", $process->describe;
    }
    return $process;
}

# The same, for commands that have to succeed; returns what they print.
sub must {
    my ($self, @argv) = @_;
    my $process = $self->run(@argv);
    croak $process->describe if $process->status != 0;
    return $process->out;
}

# Writes the host's shim.conf: what `conf` says, laid over mode require with the host's certificate. Returns its path.
sub shim {
    my ($self, %option) = @_;
    my $pki = $option{pki} // $self->{lab}->pki;
    my $certificate = $pki->certificate_of($self);
    my %profile = (
        mode => 'require',
        tls  => {
            certificate => "$certificate.pem",
            private_key => "$certificate.key",
            ca          => $pki->ca,
        },
        distribution => { bind => [ '10.77.0.0/16', 'fd77::/16' ] },
        log          => { target => $self->log_file },
    );
    my $profile = merge(\%profile, $option{conf} // {});
    my $path = $option{file} // $self->conf_file;
    open(my $file, '>', $path) or croak "$path: $!";
    print {$file} libconfig({ version => 1, default_profile => 'lab', profiles => { lab => $profile } });
    close $file or croak "$path: $!";
    return $path;
}

# Replaces the host's shim.conf under running programs, by renaming, so that nobody reads half of it.
sub replace_shim {
    my ($self, %option) = @_;
    rename $self->shim(%option, file => $self->conf_file . '.new'), $self->conf_file or croak $self->conf_file . ": $!";
}

# The same, with a mode, and waits until so many of the host's programs have followed. They look at the file as connections
# are made, at most once a second: `connect` is called again and again and is to make some.
sub change_mode {
    my ($self, $mode, $programs, $connect) = @_;
    my $before = () = $self->log(qr/event=reloaded .*mode=$mode/);
    $self->replace_shim(conf => { mode => $mode });
    wait_until($self->name . " follows its file to $mode", 20, sub {
        $connect->();
        my @lines = $self->log(qr/event=reloaded .*mode=$mode/);
        @lines - $before >= $programs;
    });
}

sub conf_file { "$_[0]{dir}/shim.conf" }
sub log_file  { "$_[0]{dir}/distguard.log" }

# The environment of a shimmed program, of another OTP's if that is given; the policy is written if none was yet.
sub shim_env {
    my ($self, $otp) = @_;
    return () if PLAIN;
    $self->shim if !-e $self->conf_file;
    my $library = defined $otp ? $self->{lab}->tree($otp)->library : $self->{lab}->library;
    return (LD_PRELOAD => join(':', (defined $otp ? () : AHEAD // ()), $library), DISTGUARD_CONF => $self->conf_file);
}

# The options of a node that speaks OTP's own TLS, with the host's certificate. `native` may name another pki, versions (as
# OTP calls them; none for its default), more options of both sides, and anonymous for a client without a certificate. What
# it does not name is as a careful operator has it: TLS 1.3, both sides show a certificate and verify the other's.
sub native_args {
    my ($self, $native) = @_;
    my %option = (versions => ['tlsv1.3'], pki => $self->{lab}->pki, ref $native ? %$native : ());
    my $certificate = $option{pki}->certificate_of($self);
    my $versions = join ', ', map {"'$_'"} @{ $option{versions} };
    my $verify = qq({verify, verify_peer}, {cacertfile, "@{[$option{pki}->ca]}"}) . ($versions && qq(, {versions, [$versions]}))
        . ($option{more} ? ", $option{more}" : '');
    my $shown  = qq({certfile, "$certificate.pem"}, {keyfile, "$certificate.key"});
    my $path = $self->{lab}->temp_path('ssl');
    open(my $file, '>', $path) or croak "$path: $!";
    print {$file} "[{server, [{fail_if_no_peer_cert, true}, $verify, $shown]},\n",
        " {client, [$verify", ($option{anonymous} ? '' : ", $shown"), "]}].\n";
    close $file or croak "$path: $!";
    return (qw(-proto_dist inet_tls -ssl_dist_optfile), $path);
}

# Whether a thread that writes a log file has lines to write: then it runs, or is about to.
sub writes_log {
    for my $stat (map { Distguard::Lab::Process::slurp($_) } glob '/proc/[0-9]*/task/[0-9]*/stat') {
        return 1 if $stat =~ /\(distguard-log\) [^SD]/;
    }
    return 0;
}

# The shim's log lines so far, those that match where a pattern is given.
sub log {
    my ($self, $pattern) = @_;
    wait_for(1, sub { !writes_log() });
    my @lines = split /^/, Distguard::Lab::Process::slurp($self->log_file);
    return defined $pattern ? grep { /$pattern/ } @lines : @lines;
}

# A node that is up: node('name' [, long, shim, native, otp, args, env, as]); a long name is completed with the host's address.
sub node {
    my ($self, $name, %option) = @_;
    return $self->start_node($name, %option)->wait_up;
}

# The same without waiting, for nodes that are not meant to come up.
sub start_node {
    my ($self, $name, %option) = @_;
    $name .= "\@${\$self->place}" if $option{long} && $name !~ /@/;
    return Distguard::Lab::Node->start(%option, host => $self, name => $name);
}

# Waits until what its programs send is stuck, as nobody takes it; returns how many bytes are.
sub wait_stuck {
    my ($self) = @_;
    my ($queued, $before) = (0, -1);
    wait_until("$self->{name} can send no more", 30, sub {
        $before = $queued;
        sleep 0.2;
        $queued = 0;
        $queued += (split)[2] for split /^/, $self->must(qw(ss -Htn));
        return $queued > 0 && $queued == $before;
    });
    return $queued;
}

sub capture { Distguard::Lab::Capture->start($_[0]) }

1;
