# What the figures depend on beside the carriers: the machine, the kernel, the versions, and who else is busy.
package Bench::Host;
use strict;
use warnings;
use FindBin qw($RealBin);
use POSIX   qw(uname strftime);

# place: { temporary, erl }. Fills in place->{epmd}, the epmd of that OTP.
sub describe {
    my ($place) = @_;
    my %host = _erlang($place);
    my $cpuinfo = _slurp('/proc/cpuinfo');
    my ($model) = $cpuinfo =~ /^model name\s*:\s*(.*)/m;
    my $cpus    = () = $cpuinfo =~ /^processor\s*:/mg;
    my (undef, undef, $release, undef, $machine) = uname();
    return {
        %host,
        cpu         => $model // $machine,
        cpus        => $cpus,
        virtual     => $cpuinfo =~ /^flags\s*:.*\bhypervisor\b/m ? 'yes' : 'no',
        kernel      => "$release $machine",
        commit      => _commit(),
        load_before => load(),
        began       => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime),
    };
}

sub load {
    return join ' ', (split ' ', _slurp('/proc/loadavg'))[ 0 .. 2 ];
}

# Bytes that processes can still take without swapping.
sub available_memory {
    _slurp('/proc/meminfo') =~ /^MemAvailable:\s+(\d+) kB/m or die "bench: /proc/meminfo has no MemAvailable\n";
    return $1 * 1024;
}

sub _erlang {
    my ($place) = @_;
    my $question = <<'END';
Release = filename:join([code:root_dir(), "releases", erlang:system_info(otp_release)]),
{ok, Otp} = file:read_file(filename:join(Release, "OTP_VERSION")),
[{_, _, OpenSSL} | _] = crypto:info_lib(),
Erts = erlang:system_info(version),
Epmd = filename:join([code:root_dir(), "erts-" ++ Erts, "bin", "epmd"]),
io:format("otp=~s~nerts=~s~nopenssl=~s~nepmd=~s~n", [string:trim(Otp), Erts, OpenSSL, Epmd]),
halt(0).
END
    open my $answer, '-|', $place->{erl}, qw(-noinput -boot start_clean -eval), $question
        or die "bench: cannot run $place->{erl}: $!\n";
    my %answer = map { /^(\w+)=(.*)/ ? ($1 => $2) : () } <$answer>;
    close $answer && $answer{epmd}
        or die "bench: $place->{erl} does not tell its versions: is erlang-crypto installed?\n";
    $place->{epmd} = delete $answer{epmd};
    return %answer;
}

# What was built, as git calls it; who runs the bench where git cannot look says it by COMMIT.
sub _commit {
    my $commit = $ENV{COMMIT} || `git -C "$RealBin" describe --always --dirty 2>/dev/null` || 'not in git';
    chomp $commit;
    return $commit;
}

sub _slurp {
    my ($path) = @_;
    open my $file, '<', $path or die "bench: cannot read $path: $!\n";
    local $/;
    return scalar <$file>;
}

1;
