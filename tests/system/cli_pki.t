#!/usr/bin/perl
# `distguard pki` makes certificates that openssl finds right, and never destroys anything.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(tool folder spew slurp run on_terminal describe);
use Test::More;
use Time::Local qw(timegm);

my $folder = folder();
my $number = 0;

sub pki { return run(tool(), 'pki', @_) }

sub succeeds {
    my ($name, @arguments) = @_;
    my $run = pki(@arguments);
    is($run->{status}, 0, $name) or diag describe($run);
    return $run;
}

# Fails with the status, and says something like $expected.
sub refuses {
    my ($name, $status, $expected, @arguments) = @_;
    my $run = pki(@arguments);
    ok($run->{status} == $status && $run->{err} =~ $expected && $run->{out} eq '', $name)
        or diag describe($run), "\nwanted: status $status, $expected";
}

sub new_ca {
    my $dir = "$folder/ca" . ++$number;
    succeeds("$dir is made", 'init', $dir, @_);
    return $dir;
}

sub openssl {
    my $run = run('openssl', @_);
    diag describe($run) if $run->{status} != 0;
    return $run->{out};
}

sub certificate { return openssl('x509', '-in', $_[0], '-noout', @_[1 .. $#_]) }
sub mode        { return sprintf '%04o', (stat $_[0])[2] & 07777 }
sub files       { return join ' ', sort map { s{.*/}{}r } glob "$_[0]/*" }

# Days from now until the certificate ends.
sub days_left {
    my ($path) = @_;
    my %month;
    @month{qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)} = 0 .. 11;
    certificate($path, '-enddate') =~ /=(\w+) +(\d+) (\d+):(\d+):(\d+) (\d+)/ or return;
    return (timegm($5, $4, $3, $2, $month{$1}, $6) - time) / 86400;
}

my $ca = new_ca();
succeeds('a certificate is issued', qw(issue), $ca, 'web1', '--dns', 'web1.example.org', '--dns=*.web.example.org',
    '--ip', '192.0.2.1', '--ip', '2001:db8::1', '--uri', 'spiffe://example.org/web/1');

subtest 'files' => sub {
    is(mode($ca), '0700', 'the directory is for its owner');
    is(files($ca), 'ca.key ca.pem web1.key web1.pem', 'four files');
    is(mode("$ca/$_.key"), '0600', "$_.key is for its owner") for qw(ca web1);
    is(mode("$ca/$_.pem"), '0644', "$_.pem is for everybody") for qw(ca web1);
    for my $umask (0, 0777) {
        my $old = umask $umask;
        my $name = sprintf 'umask%o', $umask;
        pki('issue', $ca, $name, '--dns', 'a');
        umask $old;
        is(mode("$ca/$name.key") . ' ' . mode("$ca/$name.pem"), '0600 0644', "the same under umask $name");
    }
};

subtest 'the CA' => sub {
    my $text = certificate("$ca/ca.pem", '-text');
    like($text, qr/Basic Constraints: critical\s+CA:TRUE, pathlen:0$/m, 'is a CA, and makes no other');
    like($text, qr/Key Usage: critical\s+Certificate Sign, CRL Sign$/m, 'signs certificates and CRLs');
    like($text, qr/NIST CURVE: P-256/, 'P-256');
    like($text, qr/Signature Algorithm: ecdsa-with-SHA256/, 'SHA-256');
    like($text, qr/Subject Key Identifier/, 'has a key identifier');
    like($text, qr/Subject: CN ?= ?distguard CA [0-9a-f]{8}$/m, 'has a name');
    cmp_ok(abs(days_left("$ca/ca.pem") - 3650), '<', 1, 'lasts ten years');
};

subtest 'the leaf' => sub {
    my $text = certificate("$ca/web1.pem", '-text');
    like($text, qr/Basic Constraints: critical\s+CA:FALSE$/m, 'is no CA');
    like($text, qr/Key Usage: critical\s+Digital Signature$/m, 'signs handshakes, nothing else');
    like($text, qr/Extended Key Usage: ?\s+TLS Web Server Authentication, TLS Web Client Authentication$/m, 'serves and calls');
    like($text, qr/Subject Alternative Name: critical\s+DNS:web1\.example\.org, DNS:\*\.web\.example\.org, IP Address:192\.0\.2\.1, IP Address:2001:DB8:0:0:0:0:0:1, URI:spiffe:\/\/example\.org\/web\/1$/m,
        'has the names that were asked for, in a critical extension');
    like($text, qr/Subject: *$/m, 'and none in its subject');
    like($text, qr/Authority Key Identifier/, 'names its issuer\'s key');
    like($text, qr/NIST CURVE: P-256/, 'P-256');
    cmp_ok(abs(days_left("$ca/web1.pem") - 90), '<', 1, 'lasts ninety days');
    my ($serial) = certificate("$ca/web1.pem", '-serial') =~ /serial=([0-9A-F]+)/;
    like($serial, qr/^[4-7][0-9A-F]{39}$/, 'has a positive serial number of 20 bytes');
    is(openssl('pkey', '-in', "$ca/web1.key", '-pubout'), certificate("$ca/web1.pem", '-pubkey'), 'goes with its key');
    for my $purpose (qw(sslserver sslclient)) {
        like(openssl('verify', '-x509_strict', '-purpose', $purpose, '-CAfile', "$ca/ca.pem", "$ca/web1.pem"), qr/: OK$/,
            "openssl verify, $purpose");
    }
};

subtest 'two CAs' => sub {
    my $other = new_ca('--days', '30');
    isnt(certificate("$ca/ca.pem", '-subject'), certificate("$other/ca.pem", '-subject'), 'have different names');
    isnt(run('openssl', 'verify', '-CAfile', "$other/ca.pem", "$ca/web1.pem")->{status}, 0, 'do not vouch for one another');
    my $run = succeeds('a leaf that would outlive its CA', 'issue', $other, 'long', '--dns', 'a', '--days', '31');
    is(certificate("$other/long.pem", '-enddate'), certificate("$other/ca.pem", '-enddate'), 'ends with it');
    like($run->{err}, qr/ends on \S+ with its CA/, 'and it is said');
    $run = succeeds('a leaf that would not', 'issue', $other, 'short', '--dns', 'a', '--days', '29');
    is($run->{err}, '', 'nothing is said');
};

subtest 'nothing is overwritten' => sub {
    my %before = map { $_ => slurp($_) } glob "$ca/*";
    refuses('the CA', 1, qr{\Q$ca\E/ca\.key is there already}, 'init', $ca);
    refuses('a leaf', 1, qr{\Q$ca\E/web1\.key is there already}, 'issue', $ca, 'web1', '--dns', 'a');
    spew("$ca/half.pem", 'mine');
    refuses('half a leaf', 1, qr{\Q$ca\E/half\.pem is there already}, 'issue', $ca, 'half', '--dns', 'a');
    ok(!-e "$ca/half.key", 'the other half is not left behind');
    is(slurp("$ca/half.pem"), 'mine', 'the file is as it was');
    symlink "$folder/elsewhere", "$ca/linked.key";
    refuses('what a link points to', 1, qr/linked\.key is there already/, 'issue', $ca, 'linked', '--dns', 'a');
    ok(!-e "$folder/elsewhere", 'nothing was written through the link');
    is(slurp($_), $before{$_}, "$_ is as it was") for sort keys %before;
};

subtest 'failures leave nothing behind' => sub {
    refuses('a directory in nowhere', 1, qr{nowhere.*No such file}, 'init', "$folder/nowhere/ca");
    refuses('a CA that is not there', 1, qr{No such file}, 'issue', "$folder/none", 'a', '--dns', 'a');
    ok(!-e "$folder/none", 'no directory is made');
    refuses('too many days', 1, qr/use 1 to/, 'init', "$folder/none", '--days', 1000000);
    ok(!-e "$folder/none", 'no directory is made then either');
    mkdir "$folder/empty";
    refuses('a directory without a CA', 1, qr{ca\.pem cannot be read.*distguard pki init}, 'issue', "$folder/empty", 'a', '--dns', 'a');
    spew("$folder/file", '');
    refuses('a file as a directory', 1, qr{directory}, 'issue', "$folder/file", 'a', '--dns', 'a');
    is(files("$folder/empty"), '', 'no file is made');
};

subtest 'a CA that may not be believed' => sub {
    my $open = new_ca();
    chmod 0777, $open;
    refuses('its directory is writable by all', 1, qr/chmod go-w/, 'issue', $open, 'a', '--dns', 'a');
    chmod 0700, $open;
    chmod 0640, "$open/ca.key";
    refuses('its key is readable by others', 1, qr/ca\.key.*chmod/, 'issue', $open, 'a', '--dns', 'a');
    chmod 0600, "$open/ca.key";
    spew("$open/ca.pem", slurp("$ca/ca.pem"));
    refuses('its key is another\'s', 1, qr/not the key/, 'issue', $open, 'a', '--dns', 'a');
    spew("$open/ca.pem", slurp("$ca/web1.pem"));
    spew("$open/ca.key", slurp("$ca/web1.key"), 0600);
    refuses('it is none', 1, qr/not a CA/, 'issue', $open, 'a', '--dns', 'a');
    spew("$open/ca.pem", "nothing\n");
    refuses('it is no certificate', 1, qr/no certificate/, 'issue', $open, 'a', '--dns', 'a');
    spew("$open/ca.pem", slurp("$ca/ca.pem") . "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    refuses('its file is damaged', 1, qr/damaged/, 'issue', $open, 'a', '--dns', 'a');
    is(files($open), 'ca.key ca.pem', 'no file is made');
};

subtest 'a CA with a passphrase' => sub {
    my $locked = new_ca();
    openssl('pkey', '-in', "$locked/ca.key", '-aes256', '-passout', 'pass:secret', '-out', "$folder/locked.key");
    spew("$locked/ca.key", slurp("$folder/locked.key"), 0600);
    refuses('fails and does not ask', 1, qr/without a passphrase/, 'issue', $locked, 'a', '--dns', 'a');
};

subtest 'an expired CA' => sub {
    my $old = "$folder/old";
    mkdir $old, 0700;
    openssl(qw(genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out), "$old/ca.key");
    chmod 0600, "$old/ca.key";
    openssl(qw(req -new -subj /CN=old -key), "$old/ca.key", '-out', "$folder/old.request");
    spew("$folder/old.extensions", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n");
    # No release of openssl's has another command for a time in the past that the others have, too.
    spew("$folder/old.database", '');
    spew("$folder/old.conf", <<"    END");
        [ca]
        default_ca = old
        [old]
        database = $folder/old.database
        new_certs_dir = $folder
        default_md = sha256
        rand_serial = yes
        policy = anything
        [anything]
        commonName = supplied
    END
    openssl(qw(ca -batch -selfsign -startdate 20200101000000Z -enddate 20200102000000Z -notext -config), "$folder/old.conf",
        '-in', "$folder/old.request", '-keyfile', "$old/ca.key", '-extfile', "$folder/old.extensions", '-out', "$old/ca.pem");
    refuses('issues nothing', 1, qr/expired/, 'issue', $old, 'a', '--dns', 'a');
};

subtest 'an intermediate CA' => sub {
    my $dir = "$folder/intermediate";
    mkdir $dir, 0700;
    for my $key ("$folder/root.key", "$dir/ca.key") {
        openssl(qw(genpkey -algorithm ED25519 -out), $key);
        chmod 0600, $key;
    }
    openssl(qw(req -x509 -new -subj /CN=root -key), "$folder/root.key", '-out', "$folder/root.pem");
    openssl(qw(req -new -subj /CN=intermediate -key), "$dir/ca.key", '-out', "$folder/request.pem");
    spew("$folder/extensions", "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n");
    openssl(qw(x509 -req -days 30 -CAcreateserial), '-in', "$folder/request.pem", '-CA', "$folder/root.pem", '-CAkey',
        "$folder/root.key", '-extfile', "$folder/extensions", '-out', "$folder/intermediate.pem");
    spew("$dir/ca.pem", slurp("$folder/intermediate.pem") . slurp("$folder/root.pem"));
    succeeds('issues', 'issue', $dir, 'node', '--dns', 'a.example.org');
    is(() = slurp("$dir/node.pem") =~ /BEGIN CERTIFICATE/g, 2, 'the leaf and the intermediate, not the root');
    like(openssl('verify', '-CAfile', "$folder/root.pem", '-untrusted', "$dir/node.pem", "$dir/node.pem"), qr/: OK$/, 'openssl verify');
};

subtest 'names of certificates' => sub {
    my $long = 'a' x 64;
    my @bad  = (
        ['no name'],
        ['an empty DNS name',           '--dns', ''],
        ['a DNS name with a blank',     '--dns', 'a b'],
        ['a DNS name with a comma',     '--dns', 'a,DNS:b'],
        ['a DNS name with an underscore', '--dns', 'a_b.example.org'],
        ['a DNS name with a final dot', '--dns', 'example.org.'],
        ['two dots in a row',           '--dns', 'a..b'],
        ['a hyphen in front',           '--dns', '-a.example.org'],
        ['a hyphen behind',             '--dns', 'a-.example.org'],
        ['a label too long',            '--dns', "$long.example.org"],
        ['a DNS name too long',         '--dns', join('.', ('a' x 60) x 5)],
        ['a letter beyond ASCII',       '--dns', "b\xc3\xbccher.example"],
        ['an address as a DNS name',    '--dns', '192.0.2.1'],
        ['the same for IPv6',           '--dns', '::1'],
        ['a wildcard inside',           '--dns', 'a.*.example.org'],
        ['a wildcard in a label',       '--dns', 'a*.example.org'],
        ['a wildcard for everything',   '--dns', '*'],
        ['a wildcard for a whole TLD',  '--dns', '*.org'],
        ['a name as an address',        '--ip',  'example.org'],
        ['an address with a port',      '--ip',  '192.0.2.1:80'],
        ['a network',                   '--ip',  '10.0.0.0/8'],
        ['an address with a zone',      '--ip',  'fe80::1%eth0'],
        ['a URI without a scheme',      '--uri', 'example.org/a'],
        ['a scheme without a URI',      '--uri', 'spiffe:'],
        ['a URI with a blank',          '--uri', 'spiffe://example.org/a b'],
        ['a URI with a line\'s end',    '--uri', "spiffe://example.org/a\n"],
        ['a scheme that starts with a digit', '--uri', '1a:b'],
        ['a URI too long',              '--uri', 'a:' . 'b' x 2048],
        ['two SPIFFE IDs',              '--uri', 'spiffe://a/b', '--uri', 'spiffe://a/c'],
    );
    for my $case (@bad) {
        my ($what, @names) = @$case;
        refuses($what, 1, qr/^distguard: ./, 'issue', $ca, 'bad', @names);
    }
    ok(!-e "$ca/bad.key", 'no key is made');

    my @good = (['a'], ['xn--bcher-kva.example'], ['*.a.example'], ['1.2.3.4.in-addr.arpa'], [('a' x 63) . '.example']);
    succeeds("DNS name $_->[0]", 'issue', $ca, 'good' . ++$number, '--dns', @$_) for @good;
};

subtest 'names of files' => sub {
    for my $name ('', '.', '..', '.hidden', 'ca', 'a/b', '../a', '/tmp/a', "a\nb", 'a b', 'a' x 201) {
        refuses("\"$name\"", 1, qr/NAME/, 'issue', $ca, '--dns', 'a', '--', $name);
    }
    succeeds("\"$_\"", 'issue', $ca, $_, '--dns', 'a') for 'rabbit@host1', 'a.b-c_d';
};

subtest 'answers' => sub {
    my $dir = "$folder/answers";
    is(succeeds('init, into a pipe', 'init', $dir)->{out}, "$dir/ca.pem\n$dir/ca.key\n", 'says the paths');
    is(succeeds('issue, into a pipe', 'issue', $dir, 'a', '--dns', 'b')->{out}, "$dir/a.pem\n$dir/a.key\n", 'says the paths');
    my $run = on_terminal(tool(), qw(pki init), "$dir/../shown");
    like($run->{out}, qr{$folder/shown/ca\.key.*distguard pki issue}s, 'init, on a terminal, says what is next') or diag describe($run);
    $run = on_terminal(tool(), qw(pki issue), $dir, 'c', '--dns', 'd');
    like($run->{out}, qr{DNS:d.*certificate = "$dir/c\.pem";.*private_key = "$dir/c\.key";.*ca = "$dir/ca\.pem";}s,
        'issue, on a terminal, says what to write into shim.conf')
        or diag describe($run);
};

done_testing;
