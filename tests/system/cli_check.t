#!/usr/bin/perl
# `distguard check` says what a policy comes to, and whether a node could start with it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(tool folder spew slurp run on_terminal on_host describe);
use File::Copy qw(copy);
use Test::More;

my $folder = folder();
my $pki    = "$folder/pki";
for my $command (['init', $pki], ['issue', $pki, 'node', '--dns', 'a.example.org', '--ip', '192.0.2.1'],
    ['issue', $pki, 'other', '--dns', 'b'], ['issue', $pki, 'brief', '--dns', 'c', '--days', '3'],
    ['init', "$folder/stranger"])
{
    my $run = run(tool(), 'pki', @$command);
    $run->{status} == 0 or BAIL_OUT(describe($run));
}

sub conf {
    my (%tls) = @_;
    %tls = (certificate => "$pki/node.pem", private_key => "$pki/node.key", ca => "$pki/ca.pem", %tls);
    my $settings = join ' ', map { "$_ = \"$tls{$_}\";" } sort keys %tls;
    return spew("$folder/shim.conf", <<"    END");
        version = 1;
        default_profile = "production";
        profiles: {
            production: {
                mode = "require";
                tls: { $settings };
                local = "deny";
                distribution: { ports = [ "9100-9110", "9200" ]; };
                programs = [ "beam.smp", "my_node" ];
                log: { target = "stderr"; level = "debug"; };
            };
            development: { mode = "off"; };
        };
    END
}

sub check { return run(ref $_[0] ? shift : {}, tool(), 'check', @_) }

sub facts {
    my ($run) = @_;
    return { map { /^([\w.-]+)=(.*)/ ? ($1 => $2) : () } split /\n/, $run->{out} };
}

# A copy of a file, with the mode given.
sub copy_of {
    my ($name, $mode) = @_;
    my $path = "$folder/copy-$name";
    copy("$pki/$name", $path) or die "$path: $!";
    chmod $mode, $path;
    return $path;
}

subtest 'the reference file' => sub {
    my $text = slurp("$FindBin::Bin/../../shim.conf");
    my $run = check(spew("$folder/reference.conf", $text), '--profile', 'development');
    is($run->{status}, 0, 'can be used as it stands') or diag describe($run);
    my $count = $text =~ s/^(\s*)# (?=\w+ +=)/$1/mg;
    $run = check(spew("$folder/reference.conf", $text), '--profile', 'development');
    is($run->{status}, 0, "and so can the $count settings that it shows as comments") or diag describe($run), $text;
    cmp_ok($count, '>=', 24, 'which are many');
};

subtest 'a good policy' => sub {
    my $conf = conf();
    my $run  = check($conf);
    is($run->{status}, 0, 'is good') or diag describe($run);
    is($run->{err}, '', 'without a word on stderr');
    my $facts = facts($run);
    my %expected = (
        'file'                  => $conf,
        'profile'               => 'production',
        'mode'                  => 'require',
        'local'                 => 'deny',
        'programs'              => 'beam.smp,my_node',
        'distribution.ports'    => '9100-9110,9200',
        'tls.certificate'       => "$pki/node.pem",
        'tls.certificate.names' => 'DNS:a.example.org,IP:192.0.2.1',
        'tls.private_key'       => "$pki/node.key",
        'tls.ca'                => "$pki/ca.pem",
        'tls.crl'               => 'none',
        'tls.min_version'       => '1.3',
        'tls.rekey_bytes'       => '68719476736',
        'tls.keyupdate_limit'   => '10',
        'peers'                 => 'any certificate of the CA (default)',
        'node_names'            => 'host (default)',
        'log.target'            => 'stderr',
        'log.level'             => 'debug',
        'verdict'               => 'good',
    );
    is($facts->{$_}, $expected{$_}, $_) for sort keys %expected;
    like($facts->{'tls.certificate.expires'}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'tls.certificate.expires');
    is(() = $run->{out} =~ /^[\w.-]+=.*\n/mg, scalar(() = $run->{out} =~ /\n/g), 'every line is key=value');

    my $shown = on_terminal(tool(), 'check', $conf);
    like($shown->{out}, qr/^mode +require\r$/m, 'a table on a terminal') or diag describe($shown);
    like($shown->{out}, qr/^tls\.certificate\.expires +\S+ \((89|90) days\)\r$/m, 'with the days that are left');
};

# On the host of on_host(): its facts, with "F" for the policy's path.
sub facts_on_host {
    my ($conf, @arguments) = @_;
    my $run = on_host(tool(), 'check', $conf, @arguments);
    my $facts = facts($run);
    s/\Q$conf\E/F/g for values %$facts;
    return ($run, $facts);
}

sub are_facts {
    my ($run, $facts, %expected) = @_;
    is($facts->{$_}, $expected{$_}, $_) or diag describe($run) for sort keys %expected;
}

# A policy whose profiles have a certificate that can be used.
sub conf_of_places {
    my ($default) = @_;
    return spew("$folder/places.conf", <<"    END");
version = 1;
default_profile = "$default";
profiles: {
    base: { tls: { certificate = "$pki/node.pem"; private_key = "$pki/node.key"; ca = "$pki/ca.pem"; }; };
    cluster: { inherit = "base"; distribution: {
        bind = [ "10.0.0.0/24", "fd00::/16" ];
        allow_from = [ "10.0.0.0/8",
                       "fd00::/16" ]; }; };
    by-interface: { inherit = "base"; distribution: { bind = "interface:eth1"; }; epmd: { bind = "10.0.0.5"; }; };
    any: { inherit = "base"; distribution: { bind = "any"; connect_from = "10.0.0.5"; }; };
    none: { inherit = "base"; distribution: { enabled = false; }; };
    off: { mode = "off"; distribution: { bind = "interface:eth9"; }; };
    two: { inherit = "base"; distribution: { bind = "10.0.1.0/24"; }; };
    nowhere: { inherit = "base"; distribution: { bind = "192.0.2.1"; }; };
    missing: { inherit = "base"; distribution: { bind = "interface:eth9"; }; };
    empty: { inherit = "base"; distribution: { bind = "interface:eth3"; }; };
    source: { inherit = "any"; distribution: { connect_from = "192.0.2.0/24"; }; };
    epmd: { inherit = "base"; epmd: { bind = "192.0.2.0/24"; }; };
};
    END
}

subtest 'what happens to each role on this host' => sub {
    my ($run, $facts) = facts_on_host(conf_of_places('cluster'));
    is($run->{status}, 0, 'good') or diag describe($run);
    are_facts($run, $facts,
        'profile'                         => 'cluster',
        'profiles'                        => 'base,cluster,by-interface,any,none,off,two,nowhere,missing,empty,source,epmd',
        'inherit'                         => 'base',
        'distribution.bind'               => '10.0.0.0/24 (F:6), fd00::/16 (F:6)',
        'distribution.listens.ipv4'       => '10.0.0.5',
        'distribution.listens.ipv6'       => 'fd00::5',
        'distribution.accepts_from'       => '10.0.0.0/8 (F:7), fd00::/16 (F:8)',
        'distribution.connects_to'        => 'anywhere (default)',
        'distribution.connects_from.ipv4' => '10.0.0.5',
        'distribution.connects_from.ipv6' => 'fd00::5',
        'epmd.bind'                       => '10.0.0.0/24 (F:6), fd00::/16 (F:6)',
        'epmd.listens.ipv4'               => '10.0.0.5, 127.0.0.1',
        'epmd.listens.ipv6'               => 'fd00::5, ::1',
        'epmd.accepts_from'               => '10.0.0.0/8 (F:7), fd00::/16 (F:8)',
        'epmd.connects_to'                => 'anywhere (default)',

        'profiles.base.distribution.listens.ipv4'       => '127.0.0.1',
        'profiles.base.distribution.listens.ipv6'       => '::1',
        'profiles.base.distribution.accepts_from'       => 'all that reach it (default)',
        'profiles.base.distribution.connects_from.ipv4' => 'the kernel\'s choice',
        'profiles.base.epmd.listens.ipv4'               => '127.0.0.1',

        'profiles.by-interface.inherit'                         => 'base',
        'profiles.by-interface.distribution.bind'               => 'interface:eth1 (F:9)',
        'profiles.by-interface.distribution.listens.ipv4'       => '10.0.0.5',
        'profiles.by-interface.distribution.connects_from.ipv6' => 'fd00::5',
        'profiles.by-interface.epmd.listens.ipv4'               => '10.0.0.5, 127.0.0.1',
        'profiles.by-interface.epmd.listens.ipv6'               => '::1',

        'profiles.any.distribution.listens.ipv4'       => 'any',
        'profiles.any.distribution.connects_from.ipv4' => '10.0.0.5',
        'profiles.any.distribution.connects_from.ipv6' => 'none',
        'profiles.any.epmd.listens.ipv6'               => 'any',

        'profiles.none.distribution.enabled'      => 'false (F:11)',
        'profiles.none.distribution.listens.ipv4' => undef,
        'profiles.none.epmd.connects_to'          => undef,
        'profiles.off.mode'                       => 'off',
        'profiles.off.distribution.bind'          => undef,
    );
    like($facts->{'profiles.two.distribution.listens.ipv4'}, qr{^unusable: F:13: .*10\.0\.1\.5, 10\.0\.1\.6}, 'one that cannot be used here')
        or diag describe($run);
};

subtest 'who may join' => sub {
    my $digest = 'sha256:' . '0f' x 32;
    my $conf = conf();
    spew($conf, slurp($conf) =~ s/mode = "require";/<<"    END"/er);
mode = "prefer";
        node_names = "exact";
        peers = ( { dns = "*.example.org"; ip = "10.0.0.0\/8"; nodes = [ "web\@*", "api\@*" ]; },
                  { uri = "spiffe:\/\/example.org\/*"; spki = "$digest"; } );
    END
    my $run   = check($conf);
    my $facts = facts($run);
    s/\Q$conf\E/F/g for values %$facts;
    is($run->{status}, 0, 'can be used') or diag describe($run);
    are_facts($run, $facts,
        'mode'       => 'prefer',
        'node_names' => 'exact (F:6)',
        'peers.0'    => 'dns *.example.org and ip 10.0.0.0/8, as web@* or api@* (F:7)',
        'peers.1'    => "uri spiffe://example.org/* and spki $digest, as any node (F:8)",
        'verdict'    => 'good, but plaintext is let in: mode is prefer',
    );
    is(() = $run->{out} =~ /^[\w.-]+=.*\n/mg, scalar(() = $run->{out} =~ /\n/g), 'every line is key=value');
    spew($conf, slurp($conf) =~ s/dns = "\*\.ex/dns = "w*.ex/r);
    like(check($conf)->{err}, qr{shim\.conf:7: profiles\.production\.peers\[0\]\.dns: }, 'a mistake is named with its line');
};

subtest 'places that the host does not have' => sub {
    my %expected = (
        two     => qr{places\.conf:13: .*several addresses in 10\.0\.1\.0/24},
        nowhere => qr{places\.conf:14: .*no address 192\.0\.2\.1},
        missing => qr{places\.conf:15: .*no interface eth9},
        empty   => qr{places\.conf:16: .*eth3 has no address},
        source  => qr{places\.conf:17: .*no address in 192\.0\.2\.0/24},
        epmd    => qr{places\.conf:18: .*no address in 192\.0\.2\.0/24},
    );
    for my $profile (sort keys %expected) {
        my ($run, $facts) = facts_on_host(conf_of_places('cluster'), '--profile', $profile);
        ok($run->{status} == 1 && $run->{err} =~ $expected{$profile} && $facts->{verdict} =~ /^refused/, $profile)
            or diag describe($run), "\nwanted: status 1, $expected{$profile}";
    }
    for my $profile (qw(none off)) {
        my ($run) = facts_on_host(conf_of_places('missing'), '--profile', $profile);
        is($run->{status}, 0, "$profile needs none") or diag describe($run);
    }
};

subtest 'on a terminal' => sub {
    my $shown = on_terminal(tool(), 'check', conf_of_places('cluster'), '--profile', 'off')->{out};
    like($shown, qr/^profile base, not chosen\r\nmode +require\r$/m, 'other profiles have a title');
    like($shown, qr/^profile off, chosen\r\nmode +off\r\n.*^verdict +off/ms, 'the chosen one comes last, before the verdict') or diag $shown;
};

subtest 'which policy, which profile' => sub {
    my $conf = conf();
    is(facts(check($conf, '--profile', 'development'))->{mode}, 'off', '--profile');
    is(facts(check('--profile=development', $conf))->{verdict}, 'off: nothing is guarded', 'and before the file');
    is(facts(check({ env => { DISTGUARD_CONF => $conf } }))->{file}, $conf, 'DISTGUARD_CONF');
    is(facts(check({ env => { DISTGUARD_PROFILE => 'development' } }, $conf))->{profile}, 'development', 'DISTGUARD_PROFILE');
    like(check({ env => { DISTGUARD => 'off' } }, $conf)->{err}, qr/DISTGUARD=off/, 'DISTGUARD=off is pointed out');
    my $off = conf(certificate => '/nowhere/node.pem');
    is(check($off, '--profile', 'development')->{status}, 0, 'in mode off no certificate is needed');
};

subtest 'what keeps nodes from starting' => sub {
    my @cases = (
        ['no policy',             sub { "$folder/none.conf" },                                  qr{none\.conf}],
        ['an unknown profile',    sub { (conf(), '--profile', 'moon') },                        qr{moon}],
        ['a mistake in another profile', sub { my $conf = conf(); spew("$folder/bad.conf", slurp($conf) =~ s/"off"/"of"/r) }, qr{bad\.conf:\d+}],
        ['a policy that others may write', sub { my $conf = conf(); chmod 0666, $conf; $conf }, qr{chmod}],
        ['no certificate',        sub { conf(certificate => '/nowhere/node.pem') },             qr{/nowhere/node\.pem}],
        ['no key',                sub { conf(private_key => '/nowhere/node.key') },             qr{/nowhere/node\.key}],
        ['no trust anchor',       sub { conf(ca => '/nowhere/ca.pem') },                        qr{/nowhere/ca\.pem}],
        ['a key for all to read', sub { conf(private_key => copy_of('node.key', 0644)) },       qr{chmod 0600}],
        ['another one\'s key',    sub { conf(private_key => "$pki/other.key") },                qr{other\.key}],
        ['the trust anchor of somebody else', sub { conf(ca => "$folder/stranger/ca.pem") },    qr{node\.pem}],
        ['a certificate that is none', sub { conf(certificate => spew("$folder/none.pem", "none\n")) }, qr{none\.pem}],
    );
    for my $case (@cases) {
        my ($what, $arguments, $expected) = @$case;
        my $run = check($arguments->());
        ok($run->{status} == 1 && $run->{err} =~ $expected, $what) or diag describe($run), "\nwanted: status 1, $expected";
    }
    my $run = check(conf(private_key => "$pki/other.key"));
    is(facts($run)->{verdict}, 'refused: nodes do not start', 'the verdict') or diag describe($run);
};

subtest 'a certificate that ends soon' => sub {
    my $run = check(conf(certificate => "$pki/brief.pem", private_key => "$pki/brief.key"));
    is($run->{status}, 0, 'is good still') or diag describe($run);
    like($run->{err}, qr{brief\.pem expires in [23] days}, 'and is pointed out');
};

done_testing;
