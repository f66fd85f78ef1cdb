# A host on which distguard is installed as an operator has it: the tool and the library under /usr/local, the policy and
# the keys in /etc/distguard, and folders of its own where others write to the machine's.
package Distguard::Lab::Installed;
use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use Distguard::Lab::Process;
use Test::More;

our @EXPORT_OK = qw(own_folders install_distguard install_file library_dir install_library elixir_release
    settings succeeds);

# The host sees what the machine has in these folders; what is written there stays the host's own.
sub own_folders {
    my ($host, @folders) = @_;
    for my $folder (@folders) {
        my $layers = $host->dir . '/own' . $folder =~ tr{/}{-}r;
        $host->must('sh', '-ec', <<'        END', '-', $folder, $layers);
            mkdir "$2" "$2/upper" "$2/work"
            chmod --reference="$1" "$2/upper"
            mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" own "$1"
        END
    }
    $host->must(qw(mount --bind), $host->lab->hosts_file, '/etc/hosts') if grep { $_ eq '/etc' } @folders;
}

# Where the tool expects the library once it is installed: compiled in.
sub library_dir {
    my ($lab) = @_;
    my ($dir) = Distguard::Lab::Process::slurp($lab->tool) =~ m{\0(/[^\0]*/distguard)/libdistguard\.so\0};
    return $dir // croak 'the tool does not know where its library is installed';
}

# The library and the tool; their folders must be the host's own.
sub install_library {
    my ($host) = @_;
    my $lab = $host->lab;
    $host->must(qw(install -D -m 0755 -t), library_dir($lab), map { $lab->build . "/$_" } qw(libdistguard.so libdistguard-core.so));
    $host->must(qw(install -D -m 0755 -t /usr/local/bin), $lab->tool);
}

# The same with a policy and a certificate for `names`; gives the certificate's path without its ending. /etc must be the
# host's own, too.
sub install_distguard {
    my ($host, %option) = @_;
    my $pki = $host->lab->pki;
    install_library($host);
    $host->must(qw(install -D -m 0644), $option{policy}, '/etc/distguard/shim.conf');
    $host->must(qw(install -m 0644), $pki->ca, '/etc/distguard/ca.pem');
    return $pki->issue($host->name, @{ $option{names} });
}

# An example's file; the library's folder is put where this build has it.
sub install_file {
    my ($host, $from, $to) = @_;
    my $text = Distguard::Lab::Process::slurp($from) =~ s{/usr/local/lib/distguard}{library_dir($host->lab)}ger;
    $host->must({ input => $text }, 'sh', '-ec', 'cat >>"$1"', '-', $to);
}

# The release of examples/elixir-release, made by mix; where it is.
sub elixir_release {
    my ($lab) = @_;
    my $made = $lab->dir . '/made';
    $lab->must('sh', '-ec', <<'    END', '-', $lab->root . '/examples/elixir-release', $made, $lab->dir, library_dir($lab));
        cp -r "$1" "$2" && cd "$2"
        sed -i "s,/usr/local/lib/distguard,$4," rel/env.sh.eex
        export HOME="$3" LC_ALL=C.UTF-8 MIX_ENV=prod MIX_BUILD_ROOT="$3/mix"
        mix release --quiet --path "$2/release"
    END
    return "$made/release";
}

# All that is in /etc: kinds, owners, modes, sizes, what links lead to.
sub settings { return $_[0]->must('sh', '-c', 'find /etc -type d -printf "%p %M %u\n" -o -printf "%p %M %u %s %l\n" | sort') }

# A command of the operator's that has ended; what it printed.
sub succeeds {
    my ($run, $what) = @_;
    ok($run->status == 0, $what) or diag $run->describe;
    return $run->out;
}

1;
