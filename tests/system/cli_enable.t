#!/usr/bin/perl
# `distguard enable` and `disable` in a tree of their own: what is written, what is refused and why, and that nothing is
# left behind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(tool build folder spew slurp run on_host describe);
use File::Copy qw(copy);
use File::Find qw(find);
use File::Path qw(make_path);
use Test::More;

use constant USAGE => 2;

plan skip_all => 'becoming another user takes root' if $> != 0;

my $tree    = folder();
my $library = run('strings', tool())->{out} =~ m{^(/\S+/distguard/libdistguard\.so)$}m ? $1
    : '/usr/local/lib/distguard/libdistguard.so';
my $units   = "$tree/etc/systemd/system";
my $vendor  = "$tree/usr/lib/systemd/system";

sub in_tree {
    my ($path, $text, $mode) = @_;
    make_path("$tree$path" =~ s{/[^/]*$}{}r);
    return spew("$tree$path", $text, $mode // 0644);
}

# --- the tree: programs, users, a policy, units ---

make_path($units, $vendor);
in_tree('/etc/passwd', "root:x:0:0::/root:/bin/sh\nrabbitmq:x:4001:4001::/:/bin/sh\nepmd:x:4002:4002::/:/bin/sh\n");
in_tree('/etc/group',  "root:x:0:\nrabbitmq:x:4001:\nepmd:x:4002:\n");
make_path("$tree$1") if $library =~ m{(.*)/};
sub program {
    my ($path) = @_;
    make_path("$tree$path" =~ s{/[^/]*$}{}r);
    copy('/bin/true', "$tree$path") or die "$path: $!";
    chmod 0755, "$tree$path";
}
copy(build() . '/libdistguard.so', "$tree$library") or die "$library: $!";
program($_) for '/usr/bin/epmd', '/bin/sh', '/usr/lib/erlang/erts-13.1.5/bin/beam.smp';
in_tree('/usr/lib/rabbitmq/bin/rabbitmq-server', "#!/bin/sh\nexec erl\n", 0755);

run(tool(), qw(pki init), "$tree/pki")->{status} == 0 or die;
for my $user ([rabbitmq => 4001], [epmd => 4002]) {
    my ($name, $id) = @$user;
    run(tool(), qw(pki issue), "$tree/pki", $name, '--dns', 'localhost')->{status} == 0 or die;
    make_path("$tree/etc/distguard");
    copy("$tree/pki/$name.$_", "$tree/etc/distguard/$name.$_") for qw(pem key);
    chmod 0600, "$tree/etc/distguard/$name.key";
    chmod 0644, "$tree/etc/distguard/$name.pem";
    chown $id, $id, "$tree/etc/distguard/$name.key";
}
copy("$tree/pki/ca.pem", "$tree/etc/distguard/ca.pem");
chmod 0644, "$tree/etc/distguard/ca.pem";
run('rm', '-r', "$tree/pki");

sub policy {
    my ($more) = @_;
    in_tree('/etc/distguard/shim.conf', <<"    END");
        version = 1;
        default_profile = "rabbit";
        profiles: {
            rabbit: {
                mode = "require";
                distribution: { bind = "10.0.0.0/24"; };
                tls: { certificate = "/etc/distguard/rabbitmq.pem"; private_key = "/etc/distguard/rabbitmq.key"; ca = "/etc/distguard/ca.pem"; };
                $more
            };
            epmd: { inherit = "rabbit"; tls: { certificate = "/etc/distguard/epmd.pem"; private_key = "/etc/distguard/epmd.key"; }; };
            wide: { inherit = "epmd"; epmd: { bind = "any"; port = 4370; }; };
            nowhere: { inherit = "epmd"; epmd: { bind = "10.9.0.0/24"; }; };
            off: { mode = "off"; };
        };
    END
}
policy('');

my $SERVICE = "[Unit]\nDescription=test\n[Service]\nUser=rabbitmq\nExecStart=/usr/lib/rabbitmq/bin/rabbitmq-server\n";
spew("$vendor/rabbitmq-server.service", $SERVICE);
spew("$vendor/epmd.service", "[Service]\nExecStart=/usr/bin/epmd -systemd\nUser=epmd\nGroup=epmd\n");
spew("$vendor/epmd.socket",  "[Socket]\nListenStream=4369\nBindIPv6Only=both\nAccept=false\n");

# Every path with what it is, to be compared.
sub trace {
    my %found;
    find({ no_chdir => 1, wanted => sub {
        my @status = lstat;
        $found{$_} = join ' ', @status[2, 4, 5], -f _ ? slurp($_) : '';
    } }, $tree);
    return \%found;
}

sub enable  { on_host(tool(), 'enable',  '--root', $tree, @_) }
sub disable { run(tool(), 'disable', '--root', $tree, @_) }

sub drop_in { my ($unit) = @_; return "$units/$unit.d/50-distguard.conf" }

sub done {
    my ($run, $what) = @_;
    ok($run->{status} == 0, $what) or diag describe($run);
    return $run;
}

# A service with these lines in it is refused, for this reason, and nothing is written.
sub refuses {
    my ($what, $reason, $lines, @arguments) = @_;
    spew("$vendor/case.service", $SERVICE . $lines);
    my $before = trace();
    my $run = enable('case', @arguments);
    ok($run->{status} == 1 && $run->{err} =~ $reason && $run->{out} eq '', $what) or diag describe($run), "\nwanted: $reason";
    is_deeply(trace(), $before, "$what: nothing is written");
    unlink "$vendor/case.service";
}

# The drop-in that a service with these lines gets.
sub written_for {
    my ($what, $lines, @arguments) = @_;
    spew("$vendor/case.service", $SERVICE . $lines);
    done(enable('case', @arguments), $what);
    my $text = -e drop_in('case.service') ? slurp(drop_in('case.service')) : '';
    done(disable('case'), "$what: and back");
    unlink "$vendor/case.service";
    return $text;
}

subtest 'a service, and back' => sub {
    my $before = trace();
    my $run = done(enable('rabbitmq-server', '--dry-run'), 'a dry run');
    like($run->{out}, qr{would write /etc/systemd/system/rabbitmq-server\.service\.d/50-distguard\.conf}, 'says what it would write');
    is_deeply(trace(), $before, 'and writes nothing');

    $run = done(enable('rabbitmq-server.service'), 'enable');
    my $text = slurp(drop_in('rabbitmq-server.service'));
    like($text, qr{^\[Service\]\nEnvironment="LD_PRELOAD=\Q$library\E"\nEnvironment="DISTGUARD_CONF=/etc/distguard/shim\.conf"\n\z}m, 'the drop-in');
    like($run->{out}, qr{^wrote /etc/systemd/system/rabbitmq-server\.service\.d/50-distguard\.conf$}m, 'what it wrote');
    like($run->{out}, qr{^to undo it: distguard disable rabbitmq-server\.service}m, 'how to undo it');
    like($run->{out}, qr{systemctl restart rabbitmq-server\.service$}m, 'what to restart');
    like($run->{out}, qr{distguard enable epmd$}m, 'that EPMD has its own unit');
    like($run->{out}, qr{daemon-reload}, 'that systemd must read it');

    my $enabled = trace();
    done(enable('rabbitmq-server'), 'once more');
    is_deeply(trace(), $enabled, 'changes nothing');
    done(enable('rabbitmq-server', '--profile', 'rabbit'), 'with a profile');
    like(slurp(drop_in('rabbitmq-server.service')), qr/^Environment="DISTGUARD_PROFILE=rabbit"$/m, 'which is written');

    $run = done(disable('rabbitmq-server', '--dry-run'), 'a dry run of disable');
    ok(-e drop_in('rabbitmq-server.service'), 'removes nothing');
    done(disable('rabbitmq-server'), 'disable');
    is_deeply(trace(), $before, 'no trace is left');
    like(done(disable('rabbitmq-server'), 'once more')->{out}, qr/nothing to undo/, 'there is nothing to undo');
};

subtest 'EPMD and its socket' => sub {
    my $before = trace();
    my $run = done(enable('epmd', '--profile', 'epmd'), 'enable');
    is(slurp(drop_in('epmd.socket')) =~ s/^#.*\n//gmr,
        "[Socket]\nListenStream=\nListenStream=127.0.0.1:4369\nListenStream=[::1]:4369\nListenStream=10.0.0.5:4369\nFreeBind=yes\n",
        'loopback, and the address of the policy');
    like($run->{out}, qr/systemctl restart epmd\.socket epmd\.service/, 'both are to be restarted');
    done(disable('epmd'), 'disable');
    is_deeply(trace(), $before, 'no trace is left of either');

    done(enable('epmd', '--profile', 'wide'), 'on all addresses');
    is(slurp(drop_in('epmd.socket')) =~ s/^#.*\n//gmr, "[Socket]\nListenStream=\nListenStream=4370\n", 'at the policy\'s port');
    done(disable('epmd'), 'disable');

    $run = enable('epmd', '--profile', 'nowhere');
    ok($run->{status} == 1 && $run->{err} =~ /10\.9\.0\.0/, 'an address that the host does not have') or diag describe($run);
    is_deeply(trace(), $before, 'and nothing is written');
};

subtest 'what is there by hand' => sub {
    done(enable('rabbitmq-server'), 'enable');
    my $path = drop_in('rabbitmq-server.service');
    spew($path, slurp($path) . "Environment=MORE=1\n");
    my $changed = trace();
    for my $run (disable('rabbitmq-server'), enable('rabbitmq-server')) {
        ok($run->{status} == 1 && $run->{err} =~ /changed/, "$run->{argv}[1] leaves it alone, and says so") or diag describe($run);
    }
    is_deeply(trace(), $changed, 'it is as it was');
    spew($path, "[Service]\n");
    is(disable('rabbitmq-server')->{status}, 1, 'one that never was ours stays, too');
    unlink $path;
    rmdir "$units/rabbitmq-server.service.d";

    make_path("$units/rabbitmq-server.service.d");
    my $empty = trace();
    done(enable('rabbitmq-server'), 'in a folder that was there');
    done(disable('rabbitmq-server'), 'and back');
    is_deeply(trace(), $empty, 'the folder stays');
    spew("$units/rabbitmq-server.service.d/10-limits.conf", "[Service]\nLimitNOFILE=65536\n");
    my $limits = trace();
    done(enable('rabbitmq-server'), 'beside another drop-in');
    done(disable('rabbitmq-server'), 'and back');
    is_deeply(trace(), $limits, 'which stays');
    run('rm', '-r', "$units/rabbitmq-server.service.d");
};

subtest 'what the unit says already' => sub {
    like(written_for('an LD_PRELOAD', "Environment=A=1 \"LD_PRELOAD=/usr/lib/libjemalloc.so.2\"\n"),
        qr{"LD_PRELOAD=/usr/lib/libjemalloc\.so\.2:\Q$library\E"}, 'ours comes behind it');
    like(written_for('an LD_PRELOAD that was taken back', "Environment=LD_PRELOAD=/x.so\nEnvironment=\n"),
        qr{"LD_PRELOAD=\Q$library\E"}, 'is not there');
    my $families = qr/^RestrictAddressFamilies=(.*)$/m;
    is((written_for('no netlink', "RestrictAddressFamilies=AF_INET AF_INET6\n") =~ $families)[0], 'AF_NETLINK AF_UNIX', 'is added, with syslog\'s');
    is((written_for('netlink denied', "RestrictAddressFamilies=~AF_NETLINK AF_PACKET\n") =~ $families)[0], 'AF_NETLINK', 'is allowed');
    is((written_for('netlink allowed', "RestrictAddressFamilies=AF_INET AF_UNIX\nRestrictAddressFamilies=AF_NETLINK\n") =~ $families)[0], undef, 'needs nothing');
    is((written_for('others denied', "RestrictAddressFamilies=~AF_PACKET\n") =~ $families)[0], undef, 'neither');
    policy('programs = [ "beam.smp", "my_node" ]; log: { target = "/var/log/d.log"; };');
    my $text = written_for('further programs', "RestrictAddressFamilies=AF_INET\n");
    like($text, qr/"DISTGUARD_PROGRAMS=my_node"/, 'are named');
    like($text, qr/^RestrictAddressFamilies=AF_NETLINK$/m, 'a log in a file needs no Unix socket');
    policy('');
    like(written_for('harmless settings', "NoNewPrivileges=yes\nProtectSystem=strict\nPrivateTmp=yes\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"), qr/LD_PRELOAD/, 'are');
};

subtest 'what cannot work' => sub {
    refuses('DynamicUser', qr/DynamicUser=yes.*private key/, "DynamicUser=yes\n");
    refuses('a tree of its own', qr{RootDirectory=/srv}, "RootDirectory=/srv\n");
    refuses('an image', qr/RootImage/, "RootImage=/srv/i.raw\n");
    refuses('a user that is not there', qr/User=nobody-here does not exist/, "User=nobody-here\n");
    refuses('a group that is not there', qr/Group=none-such/, "Group=none-such\n");
    refuses('another user\'s key', qr/as user epmd: .*rabbitmq\.key/, "User=epmd\n");
    refuses('a program that is not there', qr{/opt/none}, "ExecStart=\nExecStart=/opt/none start\n");
    refuses('no program', qr/no ExecStart/, "ExecStart=\n");
    refuses('hidden files', qr/InaccessiblePaths= hides/, "InaccessiblePaths=-/etc/distguard\n");
    refuses('a library that cannot be mapped', qr/NoExecPaths/, "NoExecPaths=/\nExecPaths=/usr/bin\n");
    refuses('preloaded by hand', qr/by hand/, "Environment=LD_PRELOAD=/x/libdistguard.so\n");
    refuses('switched off', qr/DISTGUARD=off/, "Environment=DISTGUARD=off\n");
    refuses('taken away', qr/case\.service:\d+: UnsetEnvironment/, "UnsetEnvironment=LD_PRELOAD\n");
    in_tree('/etc/default/case', "# LD_PRELOAD=no\nLD_PRELOAD=/x.so\n");
    refuses('an environment file', qr{/etc/default/case:2 sets LD_PRELOAD}, "EnvironmentFile=-/etc/default/case\n");
    refuses('no such policy', qr{none\.conf}, '', '--conf', '/etc/none.conf');
    refuses('no such profile', qr/"?moon"?/, '', '--profile', 'moon');
    my $beam = "$tree/usr/lib/erlang/erts-13.1.5/bin/beam.smp";
SKIP: {
        skip 'no file capabilities here', 2 if run('setcap', 'cap_net_bind_service=+ep', $beam)->{status} != 0;
        refuses('an emulator with file capabilities', qr/beam\.smp has file capabilities/, '');
        run('setcap', '-r', $beam);
    }
    chmod 04755, $beam;
    refuses('a setuid emulator', qr/beam\.smp is setuid/, '');
    chmod 0755, $beam;
    spew($beam, "no program\n", 0755);
    refuses('an emulator that is none', qr/not an ELF/, '');
    program('/usr/lib/erlang/erts-13.1.5/bin/beam.smp');
    chmod 0700, "$tree/etc/distguard";
    refuses('a policy that the user cannot reach', qr/as user rabbitmq: .*shim\.conf/, '');
    chmod 0755, "$tree/etc/distguard";
    symlink '/dev/null', "$units/masked.service";
    my $run = enable('masked');
    ok($run->{status} == 1 && $run->{err} =~ /masked/, 'a masked unit') or diag describe($run);
    unlink "$units/masked.service";
    $run = enable('no-such-unit');
    ok($run->{status} == 1 && $run->{err} =~ /there is no no-such-unit\.service/, 'a unit that is not there') or diag describe($run);
};

subtest 'instances, and drop-ins of all kinds' => sub {
    spew("$vendor/web\@.service", $SERVICE);
    done(enable('web@1'), 'an instance of a template');
    ok(-e drop_in('web@1.service'), 'has its own drop-in');
    done(disable('web@1'), 'and back');
    for my $folder ('service.d', 'web@.service.d', 'web-.service.d', 'web-a.service.d') {
        make_path("$vendor/$folder");
        spew("$vendor/$folder/x.conf", "[Service]\nDynamicUser=yes\n");
        spew("$vendor/web-a.service", $SERVICE);
        my $run = enable($folder =~ /@/ ? 'web@1' : 'web-a');
        ok($run->{status} == 1 && $run->{err} =~ /DynamicUser/, "$folder counts") or diag describe($run);
        spew("$units/$folder/x.conf", '') if make_path("$units/$folder");
        done(enable($folder =~ /@/ ? 'web@1' : 'web-a'), "$folder: /etc counts more than /usr");
        done(disable($folder =~ /@/ ? 'web@1' : 'web-a'), 'and back');
        run('rm', '-r', "$vendor/$folder", "$units/$folder");
    }
};

subtest 'what systemd makes of it' => sub {
    plan skip_all => 'no systemd-analyze here' if !grep { -x "$_/systemd-analyze" } split /:/, $ENV{PATH};
    my $verify = sub { run('systemd-analyze', "--root=$tree", '--man=no', '--recursive-errors=no', 'verify', @_) };
    spew("$vendor/$_.target", "[Unit]\n") for qw(basic sysinit shutdown sockets);
    spew("$vendor/$_.slice", "[Slice]\n") for qw(system -);
    copy("$tree/etc/distguard/shim.conf", "$tree/etc/distguard/50% \"odd\".conf");
    spew("$vendor/case.service", $SERVICE . "RestrictAddressFamilies=AF_INET\n");
    done(enable('case', '--conf', '/etc/distguard/50% "odd".conf', '--profile', 'rabbit'), 'a policy with an odd name');
    like(slurp(drop_in('case.service')), qr{^Environment="DISTGUARD_CONF=/etc/distguard/50%% \\"odd\\"\.conf"$}m, 'is quoted');
    done(enable('epmd', '--profile', 'epmd'), 'EPMD');
    for my $unit (qw(case.service epmd.service epmd.socket)) {
        my $run = $verify->($unit);
        ok($run->{status} == 0 && $run->{err} eq '', "$unit is in order") or diag describe($run);
    }
    spew(drop_in('case.service'), slurp(drop_in('case.service')) . "Enviroment=x\n");
    like($verify->('case.service')->{err}, qr/50-distguard\.conf.*Enviroment/, 'which it would not be with a typing error');
    unlink drop_in('case.service');
    done(disable('epmd'), 'and back');
    run('rm', '-r', "$units/case.service.d", "$vendor/case.service", "$tree/etc/distguard/50% \"odd\".conf");
};

subtest 'mistakes' => sub {
    for ([qw(enable)], [qw(enable a b)], [qw(enable epmd.socket)], [qw(enable ../x)], [qw(enable --conf shim.conf a)], [qw(disable)], [qw(disable a.timer)]) {
        my $run = run(tool(), @$_);
        ok($run->{status} == USAGE && $run->{err} =~ /^usage: /m, "@$_") or diag describe($run);
    }
    my $run = enable('rabbitmq-server', '--profile', 'off', '--dry-run');
    like($run->{err}, qr/mode off/, 'a profile that guards nothing is said to');
};

done_testing;
