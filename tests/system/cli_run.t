#!/usr/bin/perl
# `distguard run` starts a command with the library preloaded, or not at all.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(build folder spew slurp run describe);
use File::Copy qw(copy);
use Test::More;

use constant { REFUSED => 78, CANNOT_EXECUTE => 126, NOT_FOUND => 127 };
use constant NOBODY => 65534;

# Offsets in an ELF file of 64 bits (elf(5)).
use constant { EI_CLASS => 4, E_MACHINE => 18, E_PHOFF => 32, E_PHENTSIZE => 54, E_PHNUM => 56, PT_INTERP => 3 };

# Copies, in a folder that other users may look into.
my $folder = folder();
my $tool   = "$folder/build/distguard";
my $lib    = "$folder/build/libdistguard.so";
mkdir "$folder/$_" for qw(build bin);
for my $file ($tool, $lib) {
    copy(build() . '/' . ($file =~ s{.*/}{}r), $file) or die "$file: $!";
    chmod 0755, $file;
}

sub conf {
    my ($name, $settings) = @_;
    return spew("$folder/$name.conf", <<"    END");
        version = 1;
        default_profile = "production";
        profiles: {
            production: { mode = "require"; $settings };
            staging: { mode = "require"; };
            development: { mode = "off"; };
        };
    END
}

my $conf = conf('shim', '');

sub launch {
    my $how = ref $_[0] ? shift : {};
    return run($how, $tool, 'run', '--conf', $conf, '--', @_);
}

sub starts {
    my ($name, @argv) = @_;
    my $run = launch(@argv);
    is($run->{status}, 0, $name) or diag describe($run);
}

sub refuses {
    my ($name, $status, $expected, @argv) = @_;
    my $run = launch(@argv);
    ok($run->{status} == $status && $run->{err} =~ /^distguard: /m && $run->{err} =~ $expected && $run->{out} eq '', $name)
        or diag describe($run), "\nwanted: status $status, $expected";
}

# The environment that the command is given.
sub environment {
    my ($how, @arguments) = @_;
    my $run = run($how, $tool, 'run', @arguments, 'env');
    is($run->{status}, 0, "env runs (@arguments)") or diag describe($run);
    return { map { /^(\w+)=(.*)/ ? ($1 => $2) : () } split /\n/, $run->{out} };
}

sub patched {
    my ($name, $offset, $bytes) = @_;
    my $image = slurp('/bin/true');
    substr($image, $offset, length $bytes) = $bytes;
    return spew("$folder/bin/$name", $image, 0755);
}

# /bin/true as if it were linked statically: what was PT_INTERP is PT_NULL.
sub static_program {
    my ($name) = @_;
    my $image = slurp('/bin/true');
    my ($offset, $size, $count) = (unpack('Q', substr $image, E_PHOFF), unpack 'SS', substr $image, E_PHENTSIZE);
    for my $start (map { $offset + $size * $_ } 0 .. $count - 1) {
        return patched($name, $start, pack 'L', 0) if unpack('L', substr $image, $start) == PT_INTERP;
    }
    die '/bin/true has no interpreter';
}

sub script { return spew("$folder/bin/$_[0]", $_[1], 0755) }

subtest 'the environment of the command' => sub {
    my $env = environment({}, '--conf', $conf);
    is($env->{LD_PRELOAD}, $lib, 'LD_PRELOAD is the library, by its absolute path');
    is($env->{DISTGUARD_CONF}, $conf, 'DISTGUARD_CONF');
    ok(!exists $env->{$_}, "$_ is not set") for qw(DISTGUARD_PROFILE DISTGUARD_PROGRAMS DISTGUARD);

    $env = environment({ dir => $folder }, '--conf', 'shim.conf', '--profile', 'staging');
    is($env->{DISTGUARD_CONF}, $conf, 'a relative file is made absolute');
    is($env->{DISTGUARD_PROFILE}, 'staging', 'DISTGUARD_PROFILE');

    $env = environment({ env => { DISTGUARD_CONF => $conf, DISTGUARD_PROFILE => 'staging' } });
    is("$env->{DISTGUARD_CONF} $env->{DISTGUARD_PROFILE}", "$conf staging", 'both are passed on');

    my $named = conf('programs', 'programs = [ "beam.smp", "my_node", "epmd", "other" ];');
    is(environment({}, '--conf', $named)->{DISTGUARD_PROGRAMS}, 'my_node:other', 'DISTGUARD_PROGRAMS is what is not guarded anyway');
};

subtest 'an LD_PRELOAD that is there' => sub {
    my $other = "$folder/bin/other.so";
    copy($lib, $other);
    my $link = "$folder/bin/link.so";
    symlink $lib, $link;
    my @cases = (
        ['empty',                       '',              $lib],
        ['another library',             $other,          "$other:$lib"],
        ['two, separated by a blank',   "$other libc.so.6", "$other libc.so.6:$lib"],
        ['ours',                        $lib,            $lib],
        ['ours in front of another',    "$lib:$other",   "$lib:$other"],
        ['ours behind another',         "$other $lib",   "$other $lib"],
        ['ours by another name',        $link,           $link],
    );
    for my $case (@cases) {
        my ($what, $before, $after) = @$case;
        is(environment({ env => { LD_PRELOAD => $before } }, '--conf', $conf)->{LD_PRELOAD}, $after, $what);
    }
    mkdir "$folder/copy";
    copy($lib, "$folder/copy/libdistguard.so");
    refuses('another copy of ours', REFUSED, qr{another \Q$folder\E/copy/libdistguard\.so}, { env => { LD_PRELOAD => "$folder/copy/libdistguard.so" } }, 'true');
};

subtest 'policy and library' => sub {
    my $run = run($tool, 'run', '--conf', "$folder/none.conf", 'echo', 'it runs');
    is($run->{status}, REFUSED, 'no policy') or diag describe($run);
    like($run->{err}, qr{\Q$folder\E/none\.conf}, 'and it is said');
    is($run->{out}, '', 'the command has not run');
    is(run($tool, 'run', '--conf', $conf, '--profile', 'moon', 'true')->{status}, REFUSED, 'an unknown profile');
    is(run($tool, 'run', '--conf', conf('colon', 'programs = [ "a:b" ];'), 'true')->{status}, REFUSED, 'a program that no variable can name');
    is(run($tool, 'run', '--conf', conf('broken', 'modus = 1;'), 'true')->{status}, REFUSED, 'an unknown key');

    mkdir "$folder/$_" for 'a b', 'alone';
    copy($_, "$folder/a b/") for $tool, $lib;
    chmod 0755, "$folder/a b/distguard";
    $run = run("$folder/a b/distguard", 'run', '--conf', $conf, 'true');
    ok($run->{status} == REFUSED && $run->{err} =~ /blank or a colon/, 'a library that LD_PRELOAD cannot name') or diag describe($run);

    copy($tool, "$folder/alone/");
    chmod 0755, "$folder/alone/distguard";
    $run = run("$folder/alone/distguard", 'run', '--conf', $conf, 'true');
SKIP: {
        skip 'distguard is installed here', 1 if $run->{status} == 0;
        ok($run->{status} == REFUSED && $run->{err} =~ /libdistguard\.so is neither beside/, 'no library') or diag describe($run);
    }
};

subtest 'the command' => sub {
    is(launch('sh', '-c', 'exit 7')->{status}, 7, 'its exit status is ours');
    is(launch('sh', '-c', 'kill -TERM $$')->{status}, 128 + 15, 'its signal too');
    is(launch('sh', '-c', 'echo "$0|$@"', 'a b', '--help', '')->{out}, "a b|--help \n", 'its arguments are its own');
    is(run($tool, 'run', '--conf', $conf, 'echo', '--profile', 'x')->{out}, "--profile x\n", 'without -- too');
    refuses('not in PATH', NOT_FOUND, qr/in no folder of PATH/, 'no-such-command');
    refuses('not at its path', NOT_FOUND, qr/No such file/, "$folder/bin/none");
    refuses('an empty word', NOT_FOUND, qr/empty/, '');
    refuses('a directory', CANNOT_EXECUTE, qr/is a directory/, $folder);
    spew("$folder/bin/data", "data\n", 0644);
    refuses('not executable', CANNOT_EXECUTE, qr/may not be executed.*0644/, "$folder/bin/data");
    refuses('not executable, in PATH', CANNOT_EXECUTE, qr/may not be executed/, { env => { PATH => "$folder/bin:/bin" } }, 'data');
    spew("$folder/bin/true", '', 0644);
    is(launch({ env => { PATH => "$folder/bin:/bin" } }, 'true')->{status}, 0, 'a later folder of PATH has one that is');
    unlink "$folder/bin/true";
    script('here', "#!/bin/sh\necho here\n");
    is(launch({ dir => "$folder/bin", env => { PATH => ':/bin' } }, 'here')->{out}, "here\n", 'an empty folder in PATH is the current one');
};

subtest 'what the library cannot be loaded into' => sub {
    my $static = static_program('static');
    refuses('a static program', CANNOT_EXECUTE, qr/static.*statically linked/, $static);
    refuses('one of 32 bits', CANNOT_EXECUTE, qr/is 32-bit .*64-bit/, patched('narrow', EI_CLASS, "\1"));
    refuses('one for a SPARC', CANNOT_EXECUTE, qr/machine 43/, patched('sparc', E_MACHINE, pack 'S', 43));
    refuses('a damaged one', CANNOT_EXECUTE, qr/damaged/, patched('damaged', E_PHOFF, pack 'Q', 1 << 40));
    refuses('no program at all', CANNOT_EXECUTE, qr/not an ELF file/, script('text', "echo it runs\n"));
    refuses('an empty file', CANNOT_EXECUTE, qr/not an ELF file/, script('empty', ''));

    my $image = slurp('/bin/true');
SKIP: {
        $image =~ m{(/lib\d*/ld-linux[^\0]*)\0} or skip 'the loader of this machine has another name', 1;
        my ($loader, $offset) = ($1, $-[1]);
        my $musl = substr "/lib/ld-musl.so.1" . "\0" x length $loader, 0, length $loader;
        refuses('one for musl', CANNOT_EXECUTE, qr/another C library.*ld-musl/, patched('musl', $offset, $musl));
    }
SKIP: {
        my $source = spew("$folder/static.c", "int main(void) { return 0; }\n");
        my $built = run('cc', '-static', '-o', "$folder/bin/linked", $source);
        skip 'no static C library', 1 if $built->{status} != 0;
        refuses('what the linker makes static', CANNOT_EXECUTE, qr/statically linked/, "$folder/bin/linked");
        run('cc', '-static-pie', '-o', "$folder/bin/pie", $source)->{status} == 0 or skip 'no static PIE', 1;
        refuses('and a static PIE', CANNOT_EXECUTE, qr/statically linked/, "$folder/bin/pie");
    }
};

subtest 'scripts' => sub {
    my $static = static_program('static');
    my %path   = (env => { PATH => "$folder/bin:/usr/bin:/bin" });

    is(launch(script('plain', "#!/bin/sh\necho plain\n"))->{out}, "plain\n", 'run');
    is(launch(script('spaces', "#! \t/bin/sh  -e \t\necho spaces\n"))->{out}, "spaces\n", 'with blanks in the first line');
    is(launch(script('env', "#!/usr/bin/env sh\necho env\n"))->{out}, "env\n", 'by way of env');
    is(launch(script('second', "#!$folder/bin/plain\n"))->{out}, "plain\n", 'of scripts');
    refuses('of a static program', CANNOT_EXECUTE, qr/statically linked/, script('bad', "#!$static\n"));
    refuses('with a blank before it', CANNOT_EXECUTE, qr/statically linked/, script('blank', "#! $static -x\n"));
    refuses('without an end of line', CANNOT_EXECUTE, qr/statically linked/, script('endless', "#!$static"));
    refuses('of a script of it', CANNOT_EXECUTE, qr/statically linked/, script('worse', "#!$folder/bin/bad\n"));
    refuses('of it by way of env', CANNOT_EXECUTE, qr/statically linked/, \%path, script('by_env', "#!/usr/bin/env static\n"));
    refuses('of it by way of env -S', CANNOT_EXECUTE, qr/statically linked/, \%path, script('by_env_s', "#!/usr/bin/env -S static -x\n"));
    refuses('of nothing by way of env', CANNOT_EXECUTE, qr/no folder of PATH/, \%path, script('by_env_none', "#!/usr/bin/env nothing\n"));
    refuses('of nothing', CANNOT_EXECUTE, qr/interpreter .*nowhere/, script('none', "#!/nowhere/sh\n"));
    refuses('without an interpreter', CANNOT_EXECUTE, qr/interpreter/, script('nobody', "#!\n"));
    refuses('of itself', CANNOT_EXECUTE, qr/deep/, script('itself', "#!$folder/bin/itself\n"));
};

subtest 'mode off' => sub {
    my $static = "$folder/bin/linked";
    my $run = run($tool, 'run', '--conf', $conf, '--profile', 'development', 'env');
    like($run->{out}, qr/^LD_PRELOAD=\Q$lib\E$/m, 'the library is preloaded all the same');
SKIP: {
        skip 'no static program that runs', 1 if !-x $static;
        is(run($tool, 'run', '--conf', $conf, '--profile', 'development', $static)->{status}, 0, 'static programs may run');
    }
};

subtest 'DISTGUARD=off' => sub {
    my $off = { env => { DISTGUARD => 'off' } };
    my $run = run($off, $tool, 'run', '--conf', "$folder/none.conf", 'env');
    is($run->{status}, 0, 'the command runs, even without a policy') or diag describe($run);
    like($run->{err}, qr/DISTGUARD=off: env runs without protection/, 'and it is said');
    unlike($run->{out}, qr/LD_PRELOAD/, 'nothing is preloaded');
    is(run($off, $tool, 'run', 'no-such-command')->{status}, NOT_FOUND, 'unless it is not there');
    is(run({ env => { DISTGUARD => 'OFF' } }, $tool, 'run', '--conf', "$folder/none.conf", 'true')->{status}, REFUSED,
        'another word than off switches nothing off');
};

# Whether the kernel takes notice of set-id bits and capabilities of files in our folder.
sub ids_count {
    my $options = run('findmnt', '-no', 'OPTIONS', '-T', $folder)->{out};
    return $options !~ /\bnosuid\b/ && slurp('/proc/self/status') =~ /^NoNewPrivs:\s+0$/m;
}

# Files of another user's or group's; needs to be root, and users to give them to.
sub owned {
    my ($name, $user, $group, $mode) = @_;
    my $path = "$folder/bin/$name";
    copy('/bin/true', $path) or die "$path: $!";
    chown($user, $group, $path) && chmod($mode, $path) or return;
    return $path;
}

subtest 'set-id programs' => sub {
    plan skip_all => 'set-id bits do not count here' if !ids_count();
    plan skip_all => 'needs root' if $> != 0;
    my $setuid = owned('setuid', NOBODY, 0, 04755) // plan skip_all => 'there is but one user here';
    refuses('setuid to another', CANNOT_EXECUTE, qr/is setuid.*LD_PRELOAD/, $setuid);
    starts('setuid to ourselves', owned('setuid_own', 0, 0, 04755));
    refuses('setgid to another group', CANNOT_EXECUTE, qr/is setgid/, owned('setgid', 0, NOBODY, 02755));
    starts('setgid to our own', owned('setgid_own', 0, 0, 02755));
    starts('the locking mark of old, which is no setgid', owned('locking', 0, NOBODY, 02745));
    refuses('a script of a setuid program', CANNOT_EXECUTE, qr/is setuid/, script('by_setuid', "#!$setuid\n"));
    my $script = script('own_setuid', "#!/bin/sh\n");
    chown NOBODY, 0, $script;
    chmod 04755, $script;
    starts('a setuid script, of which the kernel ignores that', $script);

    my $run = run('setpriv', '--no-new-privs', $tool, 'run', '--conf', $conf, $setuid);
    is($run->{status}, 0, 'a setuid program where no new privileges are to be had') or diag describe($run);

    my $tool_setuid = "$folder/build/setuid";
    copy($tool, $tool_setuid) && chown(NOBODY, 0, $tool_setuid) && chmod 04755, $tool_setuid;
    my $other = conf('nobody', '');
    chown NOBODY, 0, $other;
    $run = run($tool_setuid, 'run', '--conf', $other, 'true');
    ok($run->{status} == CANNOT_EXECUTE && $run->{err} =~ /another user/, 'anything, where the tool itself is setuid') or diag describe($run);
};

subtest 'file capabilities' => sub {
    plan skip_all => 'file capabilities do not count here' if !ids_count();
    plan skip_all => 'needs root' if $> != 0;
    my $capable = owned('capable', 0, 0, 0755);
    plan skip_all => 'file capabilities cannot be set here' if run('setcap', 'cap_net_bind_service=ep', $capable)->{status} != 0;
    my @nobody = ('setpriv', '--reuid', NOBODY, '--regid', NOBODY, '--clear-groups');
    my $run = run(@nobody, $tool, 'run', '--conf', $conf, $capable);
    ok($run->{status} == CANNOT_EXECUTE && $run->{err} =~ /file capabilities.*AmbientCapabilities/, 'refused') or diag describe($run);
    starts('but for root, whom they give nothing', $capable);
    $run = run(@nobody, $tool, 'run', '--conf', $conf, '/bin/true');
    is($run->{status}, 0, 'the same user may run what has none') or diag describe($run);

    my $hidden = owned('hidden', 0, 0, 0711);
    $run = run(@nobody, $tool, 'run', '--conf', $conf, $hidden);
    ok($run->{status} == CANNOT_EXECUTE && $run->{err} =~ /make it readable/, 'what cannot be read is refused') or diag describe($run);
};

# What is refused above is what the loader would have skipped: seen with a library that leaves a mark.
subtest 'control: the loader' => sub {
    plan skip_all => 'needs root, and set-id bits that count' if $> != 0 || !ids_count() || !-u "$folder/bin/setuid";
    my $source = spew("$folder/mark.c", "#include <unistd.h>\n__attribute__((constructor)) static void mark(void) { (void)!write(1, \"loaded\", 6); }\n");
    my $mark   = "$folder/bin/mark.so";
    plan skip_all => 'no C compiler' if run('cc', '-shared', '-fPIC', '-o', $mark, $source)->{status} != 0;
    my $how = { env => { LD_PRELOAD => $mark } };
    is(run($how, '/bin/true')->{out}, 'loaded', 'loads a library into /bin/true');
    is(run($how, "$folder/bin/$_")->{out}, '', "not into $_") for qw(setuid setgid);
    is(run($how, "$folder/bin/$_")->{out}, 'loaded', "but into $_") for qw(setuid_own setgid_own locking capable);
    is(run('setpriv', '--no-new-privs', 'env', "LD_PRELOAD=$mark", "$folder/bin/setuid")->{out}, 'loaded', 'and into setuid without new privileges');
    is(run(qw(setpriv --reuid 65534 --regid 65534 --clear-groups env), "LD_PRELOAD=$mark", "$folder/bin/capable")->{out}, '', 'not into what has capabilities, for others than root');
};

done_testing;
