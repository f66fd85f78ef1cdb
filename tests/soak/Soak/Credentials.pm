# Certificates and anchors of the hosts, and their policies, replaced under running programs: by leading a link elsewhere, as
# Kubernetes does.
package Soak::Credentials;
use strict;
use warnings;
use Distguard::Lab::Process;

my @FILES = qw(node.pem node.key ca.pem);

# Whose certificates, and whom they trust: from one authority to the other and back, by a time in which both are trusted.
my @STEPS = (
    ['new certificates',                0, 0],
    ['a second CA',                     0, 0, 1],
    ['certificates of the second CA',   1, 0, 1],
    ['the first CA goes',               1, 1],
    ['new certificates',                1, 1],
    ['the first CA comes back',         1, 1, 0],
    ['certificates of the first CA',    0, 1, 0],
    ['the second CA goes',              0, 0],
);

# What a policy reload changes: of connections that come to be after it.
my @POLICIES = (
    { tls => { rekey_bytes => 65536 } },
    { tls => { rekey_bytes => 262144, keyupdate_limit => 5 }, peers => [{ dns => '*.lab' }] },
    { tls => { rekey_bytes => 100000, max_handshakes => 48 }, distribution => { allow_from => ['10.77.0.0/16'] } },
);

sub new {
    my ($class, $lab, $hosts) = @_;
    my @pki = map { $lab->pki($_) } qw(first second);
    my $self = bless { hosts => $hosts, pki => \@pki, versions => 0, step => 0, policy => 0 }, $class;
    $self->lay(0, 0);
    $self->write_policy;
    return $self;
}

# One step further; what it is.
sub rotate {
    my ($self) = @_;
    my ($what, $signer, @anchors) = @{ $STEPS[ $self->{step}++ % @STEPS ] };
    $self->lay($signer, @anchors);
    return $what;
}

sub lay {
    my ($self, $signer, @anchors) = @_;
    my $anchors = join '', map { Distguard::Lab::Process::slurp($self->{pki}[$_]->ca) } @anchors;
    my $version = ++$self->{versions};
    for my $host (@{ $self->{hosts} }) {
        my $base = $self->issue($signer, $host, $host->name . "-$version");
        my ($certificate, $key) = map { Distguard::Lab::Process::slurp("$base.$_") } qw(pem key);
        lay_files($host->dir . '/tls', $version, 'ca.pem' => $anchors, 'node.pem' => $certificate, 'node.key' => $key);
    }
}

sub issue {
    my ($self, $signer, $host, $name) = @_;
    return $self->{pki}[$signer]->issue($name, '--dns', $host->name . '.lab', map { ('--ip', $_) } $host->addresses);
}

sub lay_files {
    my ($dir, $version, %text) = @_;
    if (mkdir $dir) {
        symlink "..data/$_", "$dir/$_" for @FILES;
    }
    mkdir "$dir/..$version" or die "$dir/..$version: $!";
    for my $name (keys %text) {
        open(my $file, '>', "$dir/..$version/$name") or die "$dir/..$version/$name: $!";
        chmod 0600, $file;
        print {$file} $text{$name};
        close $file or die "$dir/..$version/$name: $!";
    }
    symlink "..$version", "$dir/..next" or die "$dir/..next: $!";
    rename "$dir/..next", "$dir/..data" or die "$dir/..data: $!";
}

sub next_policy {
    my ($self) = @_;
    $self->{policy} = ($self->{policy} + 1) % @POLICIES;
    $self->write_policy;
    return 'another policy';
}

sub write_policy {
    my ($self) = @_;
    for my $host (@{ $self->{hosts} }) {
        my $dir  = $host->dir . '/tls';
        my $more = $POLICIES[ $self->{policy} ];
        my %tls  = (certificate => "$dir/node.pem", private_key => "$dir/node.key", ca => "$dir/ca.pem", handshake_timeout => 3,
            %{ $more->{tls} });
        $host->replace_shim(pki => $self->{pki}[0], conf => { %$more, tls => \%tls });
    }
}

1;
