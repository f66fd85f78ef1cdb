# A host on which distguard is installed as an operator has it: the tool and the library under /usr/local, the policy and
# the keys in /etc/distguard, and folders of its own where others write to the machine's.
package Distguard::Lab::Installed;
use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);
use Distguard::Lab::Process;

our @EXPORT_OK = qw(own_folders install_distguard install_file library_dir);

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

# /etc and the library's folder must be the host's own. `names` are the certificate's.
sub install_distguard {
    my ($host, %option) = @_;
    my $lab = $host->lab;
    my $certificate = $lab->pki->issue($host->name, @{ $option{names} });
    $host->must(qw(install -D -m 0755 -t), library_dir($lab), map { $lab->build . "/$_" } qw(libdistguard.so libdistguard-core.so));
    $host->must(qw(install -D -m 0755 -t /usr/local/bin), $lab->tool);
    $host->must(qw(install -D -m 0644), $option{policy}, '/etc/distguard/shim.conf');
    $host->must(qw(install -m 0644), $lab->pki->ca, '/etc/distguard/ca.pem');
    return $certificate;
}

# An example's file; the library's folder is put where this build has it.
sub install_file {
    my ($host, $from, $to) = @_;
    my $text = Distguard::Lab::Process::slurp($from) =~ s{/usr/local/lib/distguard}{library_dir($host->lab)}ger;
    $host->must({ input => $text }, 'sh', '-ec', 'cat >>"$1"', '-', $to);
}

1;
