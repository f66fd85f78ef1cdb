#!/usr/bin/perl
# The Debian package: what `make deb` builds is in order, comes into a clean tree and goes out of it without a trace; and
# does not go while services start with the library.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(tool folder spew slurp run describe);
use File::Path qw(make_path);
use Test::More;

plan skip_all => 'dpkg-buildpackage is not here' if !grep { -x "$_/dpkg-buildpackage" } split /:/, $ENV{PATH};

my $root = abs_path("$FindBin::Bin/../..");
my ($version) = run(tool(), '--version')->{out} =~ /^distguard (\S+)$/ or die;
my $folder = folder();
my $tarball = "$folder/distguard-$version.tar.gz";

sub succeeds {
    my ($what, @command) = @_;
    my $run = run(@command);
    is($run->{status}, 0, $what) or diag describe($run);
    return $run;
}

# --- the tarball ---

succeeds('the sources are packed', "$root/tests/tools/make-tarball", $tarball);
my $listing = run('tar', '-tzf', $tarball)->{out};
like($listing, qr{^distguard-\Q$version\E/\Q$_\E$}m, "with $_") for qw(Makefile README.md LICENSE shim.conf shim/abi.h tests/tests.mk);
unlike($listing, qr{/build/|\.git/|\.o$}m, 'and nothing that was built');
my $epoch = { env => { SOURCE_DATE_EPOCH => 1_700_000_000 } };
run($epoch, "$root/tests/tools/make-tarball", "$folder/$_/distguard-$version.tar.gz") for 1, 2;
ok(slurp("$folder/1/distguard-$version.tar.gz") eq slurp("$folder/2/distguard-$version.tar.gz"), 'twice the same');

# --- the package ---

# Without optimisation, which takes the compiler half of its time and changes nothing of what is looked at here.
my $built = run({ patience => 300, env => { DEB_BUILD_OPTIONS => 'parallel=2 noautodbgsym noopt' } }, "$root/tests/tools/make-deb", $tarball, $folder);
is($built->{status}, 0, 'it is built') or do { diag describe($built); done_testing; exit };
my ($package) = split /\n/, $built->{out};
my $changes = (glob "$folder/*.changes")[0];
my $lintian = run('lintian', '--allow-root', '--fail-on', 'error,warning', $changes);
ok($lintian->{status} == 0 && $lintian->{out} !~ /^[EW]:/m, 'lintian has nothing to say') or diag describe($lintian);
is(run('dpkg-deb', '-f', $package, 'Version')->{out}, "$version\n", 'its version is the tool\'s');
like(run('dpkg-deb', '-f', $package, 'Depends')->{out}, qr/libssl3.*|libconfig9/, 'it depends on what it is linked with');

my $content = run('dpkg-deb', '-c', $package)->{out};
my %wanted = (
    '/usr/lib/distguard/libdistguard.so' => '-rw-r--r--', '/usr/lib/distguard/libdistguard-core.so' => '-rw-r--r--',
    '/usr/bin/distguard' => '-rwxr-xr-x', '/etc/distguard/shim.conf' => '-rw-r--r--',
    '/usr/share/man/man1/distguard.1.gz' => '-rw-r--r--', '/usr/share/man/man5/shim.conf.5.gz' => '-rw-r--r--',
    '/usr/share/man/man7/distguard.7.gz' => '-rw-r--r--', '/usr/share/bash-completion/completions/distguard' => '-rw-r--r--',
    '/usr/share/doc/distguard/copyright' => '-rw-r--r--',
);
for my $path (sort keys %wanted) {
    my ($mode) = $content =~ m{^(\S+) root/root .* \.\Q$path\E$}m;
    is($mode, $wanted{$path}, $path);
}
unlike($content, qr{/work|/tmp|/usr/local|\.so\.\d}, 'and nothing that belongs elsewhere');

# --- in and out of a clean tree ---

SKIP: {
    skip 'installing takes root', 1 if $> != 0;
    my $tree = "$folder/tree";
    make_path("$tree/var/lib/dpkg/$_") for qw(info updates triggers);
    spew("$tree/var/lib/dpkg/status", '');
    # Without its dependencies, and its scripts run outside of the tree, which has no shell.
    my @dpkg = ('dpkg', "--root=$tree", qw(--force-depends --force-script-chrootless --force-not-root --log=/dev/null));
    # All that is there but dpkg's own records.
    my $trace = sub { run('sh', '-c', 'cd "$1" && find . -path ./var -prune -o -type f -print | sort', '-', $tree)->{out} };

    succeeds('it is installed', @dpkg, '-i', $package);
    is(run("$tree/usr/bin/distguard", '--version')->{out}, "distguard $version\n", 'the tool runs');
    my $check = run("$tree/usr/bin/distguard", 'check', "$tree/etc/distguard/shim.conf");
    like($check->{out}, qr/^mode=require$/m, 'the policy that comes along is read') or diag describe($check);
    like($check->{out}, qr/^distribution\.listens\.ipv4=127\.0\.0\.1$/m, 'and lets nothing listen beyond this host');
    is(run('ldd', "$tree/usr/lib/distguard/libdistguard-core.so")->{out} =~ /not found/, '', 'the library has all that it needs');

    my $drop_ins = "$tree/etc/systemd/system/web.service.d";
    make_path($drop_ins);
    spew("$drop_ins/50-distguard.conf", "[Service]\n");
    my $refused = run(@dpkg, '-r', 'distguard');
    ok($refused->{status} != 0 && $refused->{err} =~ /First: distguard disable web\.service/, 'it stays while it guards a service')
        or diag describe($refused);
    ok(-e "$tree/usr/lib/distguard/libdistguard.so", 'with its library');
    run('rm', '-r', "$tree/etc/systemd");

    spew("$tree/etc/distguard/shim.conf", slurp("$tree/etc/distguard/shim.conf") . "# ours\n");
    succeeds('it is installed once more', @dpkg, '--force-confold', '-i', $package);
    like(slurp("$tree/etc/distguard/shim.conf"), qr/# ours$/m, 'the policy stays as it was made');
    succeeds('it is removed', @dpkg, '-r', 'distguard');
    is($trace->(), "./etc/distguard/shim.conf\n", 'but for the policy');
    succeeds('it is purged', @dpkg, '-P', 'distguard');
    is($trace->(), '', 'and nothing is left');
}

# --- the parts that go with it ---

SKIP: {
    skip 'no bash', 2 if !-x '/bin/bash';
    my $complete = sub {
        my @words = @_;
        my $words = join ' ', map {"'$_'"} @words;
        return run({ env => { PATH => tool() =~ s{/[^/]*$}{}r . ":$ENV{PATH}" } }, '/bin/bash', '-c', <<"        END")->{out};
            . $root/docs/completion/distguard.bash
            COMP_WORDS=($words) COMP_CWORD=$#words
            compopt() { :; }
            _distguard
            printf '%s\\n' "\${COMPREPLY[\@]}"
        END
    };
    is($complete->('distguard', 'ex'), "explain\n", 'bash completes commands');
    like($complete->('distguard', 'run', '--c'), qr/^--conf$/m, 'and options');
    is($complete->('distguard', 'pki', 'i'), "init\nissue\n", 'and the commands of a group');
    like($complete->('distguard', 'pki', 'issue', '--d'), qr/^--dns$/m, 'and their options');
}

done_testing;
