# The carriers: what each adds to a node's environment and arguments, and how it is proved that it carries.
package Bench::Carrier;
use strict;
use warnings;
use Bench::Wire;

our @all = qw(plain distguard inet_tls);

my $cipher = 'TLS_AES_256_GCM_SHA384';

# place: { temporary, build, erl }; the certificates must be there.
sub new {
    my ($class, $name, $place) = @_;
    my $self = bless { name => $name, environment => {}, arguments => [] }, $class;
    if ($name eq 'distguard') {
        $self->{environment} = {
            LD_PRELOAD     => "$place->{build}/libdistguard.so",
            DISTGUARD_CONF => _write("$place->{temporary}/shim.conf", _policy("$place->{temporary}/pki")),
        };
    } elsif ($name eq 'inet_tls') {
        my $options = _write("$place->{temporary}/inet_tls.options", _tls_options("$place->{temporary}/pki"));
        $self->{arguments} = [ qw(-proto_dist inet_tls -ssl_dist_optfile), $options ];
    } elsif ($name ne 'plain') {
        die "bench: CARRIERS: no carrier is called '$name'; there are: @all\n";
    }
    return $self;
}

# The certificate authority and the certificate that all nodes of the bench share.
sub make_certificates {
    my ($place) = @_;
    my $tool = "$place->{build}/distguard";
    my $dir  = "$place->{temporary}/pki";
    -x $tool or die "bench: there is no $tool: run `make` first\n";
    for ([ 'init', $dir ], [ 'issue', $dir, 'node', qw(--dns localhost --ip 127.0.0.1) ]) {
        open my $output, '-|', $tool, 'pki', @$_ or die "bench: cannot run $tool: $!\n";
        my @output = <$output>;
        close $output or die "bench: `$tool pki @$_` failed\n", @output;
    }
}

sub name        { $_[0]{name} }
sub environment { $_[0]{environment} }
sub arguments   { @{ $_[0]{arguments} } }
sub encrypts    { $_[0]{name} ne 'plain' }

# Connects the nodes under the eyes of a capture and dies unless the carrier did its work. Remembers what was
# negotiated.
sub prove {
    my ($self, @nodes) = @_;
    $self->_prove_library($_) for @nodes;

    my $marker = sprintf 'marker-of-%s-%08x', $self->{name}, int rand 2**32;
    my $wire   = Bench::Wire->watch;
    $nodes[0]->call("{connect, '" . $nodes[1]->name . "'}");
    $nodes[0]->call("{mark, '" . $nodes[1]->name . "', <<\"$marker\">>}");
    my $seen = $wire->seen;

    my $readable = index($seen, $marker) >= 0;
    die "bench: $self->{name}: the capture does not show a marker sent in plaintext: it proves nothing\n"
        if !$self->encrypts && !$readable;
    die "bench: $self->{name}: a message crossed the wire in plaintext: refusing to measure\n"
        if $self->encrypts && $readable;
    $self->{negotiated} = Bench::Wire::negotiated($seen) // 'no TLS';
    die "bench: $self->{name}: negotiated $self->{negotiated}, but the comparison is for TLS 1.3, $cipher\n"
        if $self->encrypts && $self->{negotiated} ne "TLS 1.3, $cipher";
}

sub negotiated { $_[0]{negotiated} }

sub _prove_library {
    my ($self, $node) = @_;
    my $wanted = $self->{name} eq 'distguard';
    for my $library (qw(libdistguard.so libdistguard-core.so)) {
        next if !!$node->maps_file($library) == $wanted;
        $node->fail("of $self->{name} " . ($wanted ? "runs without $library: run `make` first" : "has $library"));
    }
}

# local = "deny": else two nodes of one user and host could talk in plaintext.
sub _policy {
    my ($pki) = @_;
    return <<"END";
version = 1;
default_profile = "bench";
profiles: {
  bench: {
    mode = "require";
    local = "deny";
    tls: { certificate = "$pki/node.pem"; private_key = "$pki/node.key"; ca = "$pki/ca.pem"; };
    log: { target = "stderr"; };
  };
};
END
}

sub _tls_options {
    my ($pki) = @_;
    my $both = <<"END";
{certfile, "$pki/node.pem"}, {keyfile, "$pki/node.key"}, {cacertfile, "$pki/ca.pem"},
    {verify, verify_peer}, {versions, ['tlsv1.3']}, {ciphers, ["$cipher"]}
END
    return "[{server, [{fail_if_no_peer_cert, true}, $both]},\n {client, [$both]}].\n";
}

sub _write {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "bench: cannot write $path: $!\n";
    print $file $text;
    close $file or die "bench: cannot write $path: $!\n";
    return $path;
}

1;
